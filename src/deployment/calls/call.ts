import type { Check } from './checks.js'
import { type AnswerOfPeer, askAll, type PeerCall, PeerError, type Peers, type PlaceOfCall } from './peers.js'

/** Largest body of any call and of any answer. */
export const MAX_BODY_BYTES = 64 * 1_048_576
/** Limits of calls with a few names and numbers, of those with lists or records, and of questions with records alone. */
export const FEW_BYTES = { question: 1_048_576, answer: 1_048_576 }
export const MANY_BYTES = { question: MAX_BODY_BYTES, answer: MAX_BODY_BYTES }
export const FEW_FOR_MANY = { question: FEW_BYTES.question, answer: MAX_BODY_BYTES }

/** A call between gateways. `calls/table.ts` has all of them. */
export interface Call<Question, Answer> {
  /** Its name, to which {@link inCluster} adds the cluster, where it is about one. */
  readonly name: string
  readonly question: Check<Question>
  /** Whether it is an answer to this very question. */
  answer(answer: unknown, question: Question): answer is Answer
  /** How long the caller waits, beyond the time for which the question itself may wait. */
  readonly timeoutMs: number
  /** Limit of the bytes of a question, and of an answer. */
  readonly maxBytes: { readonly question: number; readonly answer: number }
  readonly place?: PlaceOfCall | undefined
}

export interface AskOptions {
  /** How long the question itself may wait. Default: not at all. */
  readonly waitMs?: number | undefined
  /** See `CallOptions`. */
  readonly client?: string | undefined
}

type Handle<Question, Answer, Id> = (question: Question, call: PeerCall<Id>) => Answer | Promise<Answer>

/** A call about one cluster. */
export const inCluster = <Question, Answer>(call: Call<Question, Answer>, cluster: string): Call<Question, Answer> => ({
  ...call,
  name: `${call.name} ${cluster}`
})

const strange = <Id>(peers: Pick<Peers<Id>, 'noteStrange'>, from: Id, name: string): PeerError => {
  peers.noteStrange?.(from, name)
  return new PeerError(`a gateway sends what makes no sense in the call ${name}`)
}

/** Handles the calls of the others. A question that makes no sense fails, and is not handled. */
export function serve<Question, Answer, Id>(
  peers: Pick<Peers<Id>, 'serve' | 'noteStrange'>,
  { name, question, maxBytes }: Call<Question, Answer>,
  handle: Handle<Question, Answer, Id>
): void {
  const handler = (body: unknown, call: PeerCall<Id>): unknown => {
    if (!question(body)) throw strange(peers, call.from, name)
    return handle(body, call)
  }
  peers.serve(name, handler, maxBytes.question)
}

/**
 * Calls one of the others. An answer that makes no sense is as good as none: a gateway with a defect must not harm this one.
 *
 * @throws PeerError as {@link Peers.call}, and without a cause where the answer makes no sense: what was asked may have been done
 */
export async function ask<Question, Answer, Id>(
  peers: Pick<Peers<Id>, 'call' | 'noteStrange'>,
  to: Id,
  call: Call<Question, Answer>,
  question: Question,
  { waitMs = 0, client }: AskOptions = {}
): Promise<Answer> {
  const { name, timeoutMs, place: kind, maxBytes } = call
  const options = { timeoutMs: timeoutMs + waitMs, client, kind, maxBytes: maxBytes.answer }
  const answer = await peers.call(to, name, question, options)
  if (call.answer(answer, question)) return answer
  throw strange(peers, to, name)
}

/** Calls all others that are known. Never rejects. */
export const askOthers = <Question, Answer, Id>(
  peers: Peers<Id>,
  call: Call<Question, Answer>,
  question: Question
): Promise<readonly AnswerOfPeer<Id, Answer>[]> => askAll(peers.others, id => ask(peers, id, call, question))
