import type { AttemptResult } from '../../src/webhooks/endpoint/attempt.js'
import { FakeEndpoint, type SentAttempt } from './fake-endpoint.js'

/** What an endpoint of all gateways has seen of records whose keys are `KEY` and whose values are `KEY:NUMBER`. */
export class DeliveryHistory {
  /** Attempts by the id of their record. */
  readonly attempts = new Map<string, number>()
  /** Records that were answered with a 2xx: how often, by id. */
  readonly delivered = new Map<string, number>()
  /** Records of which there is a dead letter, by id. */
  readonly dead = new Set<string>()
  /** Records that the endpoint has refused: a dead letter is about to be written. */
  readonly refused = new Set<string>()
  /** Attempts that began before all records of their key with lower offsets had a 2xx or a dead letter. */
  readonly early: string[] = []
  /** Ids that stood for several records, and records with several ids. */
  readonly confused: string[] = []
  readonly #valueOf = new Map<string, string>()
  readonly #idOf = new Map<string, string>()
  /** Ids of the records of each key, by offset, as they were written. */
  readonly #lanes = new Map<string, string[]>()
  #settled = 0

  /** @param id of the record that was written, in the order of its partition */
  wrote(key: string, value: string, id: string): void {
    this.#lanes.set(key, [...(this.#lanes.get(key) ?? []), id])
    this.#idOf.set(value, id)
    this.#valueOf.set(id, value)
  }

  get written(): readonly string[] {
    return [...this.#valueOf.keys()]
  }
  get missing(): readonly string[] {
    return this.written.filter(id => !this.isSettled(id))
  }
  /** Number of {@link missing}, at once. */
  get missingCount(): number {
    return this.#valueOf.size - this.#settled
  }
  /** Records with several 2xx. */
  get doubled(): number {
    return [...this.delivered.values()].filter(times => times > 1).length
  }

  isSettled(id: string): boolean {
    return this.delivered.has(id) || this.dead.has(id)
  }

  valueOf(id: string): string | undefined {
    return this.#valueOf.get(id)
  }

  began({ id, body }: Pick<SentAttempt, 'id' | 'body'>): void {
    const value = body.toString()
    if (this.#valueOf.get(id) !== value) this.confused.push(`${id} ${value}`)
    this.attempts.set(id, (this.attempts.get(id) ?? 0) + 1)
    const lane = this.#lanes.get(value.split(':')[0]!) ?? []
    const open = lane.slice(0, lane.indexOf(id)).filter(one => !this.isSettled(one) && !this.refused.has(one))
    if (open.length > 0) this.early.push(`${id} before ${open.join()}`)
  }

  ended({ id }: Pick<SentAttempt, 'id'>, result: AttemptResult | number): void {
    const status = typeof result === 'number' ? result : result.kind === 'status' ? result.status : 0
    if (status === 422) this.refused.add(id)
    if (status < 200 || status >= 300) return
    if (!this.isSettled(id)) this.#settled++
    this.delivered.set(id, (this.delivered.get(id) ?? 0) + 1)
  }

  /** There is a dead letter of the record. */
  gaveUp(id: string): void {
    if (!this.isSettled(id)) this.#settled++
    this.dead.add(id)
  }
}

/** The connections of one gateway to the endpoint. They end with the gateway. */
export class EndpointOfGateway extends FakeEndpoint {
  /** The gateway was killed: nothing that it sends from now on is received, and it gets no answer. */
  isKilled = false

  /** @param answerOf decides on an attempt, after a while */
  constructor(history: DeliveryHistory, answerOf: (attempt: SentAttempt) => Promise<AttemptResult | number>) {
    super(attempt => {
      if (this.isKilled) return undefined
      history.began(attempt)
      void answerOf(attempt).then(result => {
        // The endpoint has done its work, whoever hears of it.
        history.ended(attempt, result)
        if (!this.isKilled) attempt.answer(result)
      })
      return undefined
    })
  }
}
