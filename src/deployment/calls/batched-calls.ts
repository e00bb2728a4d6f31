import { HeldAmount } from '../../core/held-amount.js'

export interface BatchedCallsOptions<Asked, Answer> {
  /** Name of the calls in messages, in the plural. */
  readonly name: string
  /** @returns the answers to all, in the order of what was asked */
  readonly call: (batch: readonly Asked[]) => Promise<readonly Answer[]>
  /** The answer to all that a call has asked which failed. */
  readonly failed: (error: unknown) => Answer
  /** The answer to what may not wait. */
  readonly full: Answer
  /** Calls at a time. Questions that come meanwhile wait, and go together. */
  readonly maxCalls: number
  readonly maxOfCall: number
  readonly maxWaiting: number
}

/** Makes a call together with others. Never rejects. */
export type BatchedCalls<Asked, Answer> = (asked: Asked) => Promise<Answer>

/** Asks another process many small things in few calls: those of one tick go together. */
export function batchedCalls<Asked, Answer>(options: BatchedCallsOptions<Asked, Answer>): BatchedCalls<Asked, Answer> {
  const { call, failed, full, maxCalls, maxOfCall, maxWaiting } = options
  const waiting: { readonly asked: Asked; readonly resolve: (answer: Answer) => void }[] = []
  const calls = new HeldAmount(options.name)
  const answersTo = async (batch: readonly { readonly asked: Asked }[]): Promise<readonly Answer[]> => {
    try {
      return await call(batch.map(({ asked }) => asked))
    } catch (error) {
      return batch.map(() => failed(error))
    }
  }
  const send = (): void => {
    while (calls.value < maxCalls && waiting.length > 0) {
      calls.add(1)
      const batch = waiting.splice(0, maxOfCall)
      void answersTo(batch).then(answers => {
        for (const [at, { resolve }] of batch.entries()) resolve(answers[at]!)
        calls.release(1)
        send()
      })
    }
  }
  return asked => {
    if (waiting.length >= maxWaiting) return Promise.resolve(full)
    return new Promise(resolve => {
      waiting.push({ asked, resolve })
      if (waiting.length === 1) setImmediate(send)
    })
  }
}
