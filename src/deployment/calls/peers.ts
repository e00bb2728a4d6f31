import { CastellanError } from '../../core/errors.js'

/** A gateway that can be called and does not call for this time counts as gone: it cannot end what it has begun. */
export const SILENT_MS = 8_000

/** A call from another process, as its handler sees it. */
export interface PeerCall<Id> {
  readonly from: Id
  /** How long the caller still waits, in milliseconds. `undefined`: it waits until this process ends. */
  readonly timeoutMs: number | undefined
}

/** Handles a call. An error that it throws fails the call with its message and its code. */
export type PeerHandler<Id> = (body: unknown, call: PeerCall<Id>) => unknown

/**
 * The place that a call takes among those to one gateway. `long`: one of a share of them, since the call may wait. `ending`: none,
 * since it ends another call.
 */
export type PlaceOfCall = 'long' | 'ending'

export interface CallOptions {
  readonly timeoutMs: number
  /** The client whose share of the places for long calls it uses. */
  readonly client?: string | undefined
  /** Default: any place. */
  readonly kind?: PlaceOfCall | undefined
  /** A longer answer is none that makes sense. Default: the limit of all answers. */
  readonly maxBytes?: number | undefined
}

/**
 * The other gateways that serve the same clients, and calls to them. `Id` names a process from its start to its end: its
 * successor has another id.
 *
 * A body may contain what JSON can express, and Buffers, `bigint` and Maps. A call is never passed on to a third
 * process: handlers answer from what their own process has.
 */
export interface Peers<Id = string> {
  readonly id: Id
  /** The others that are known. A call to one of them may still fail. */
  readonly others: readonly Id[]
  /**
   * Handles calls of the others. There is one handler for each name. Use {@link serve}, which checks what they send.
   *
   * @param maxBytes longer bodies are refused before they are decoded
   */
  serve(name: string, handler: PeerHandler<Id>, maxBytes?: number): void
  /**
   * Calls one of the others. Use {@link ask}, which checks the answer.
   *
   * @throws PeerError when the call fails; {@link isUnanswered} tells whether the reason is that the other process is gone or
   *   does not answer
   */
  call(to: Id, name: string, body: unknown, options: CallOptions): Promise<unknown>
  onGone(listener: (id: Id) => void): void
  /** Tells operators that a gateway has sent what makes no sense in this call. */
  noteStrange?(from: Id, name: string): void
}

/** Answer of one of several processes, or the reason why it has not answered. */
export interface AnswerOfPeer<Id, Answer> {
  readonly by: Id
  readonly answer?: Answer
  readonly error?: PeerError
}

/**
 * Asks several processes at the same time. Never rejects.
 *
 * @param isEnough waits for no others after such an answer; default: waits for all
 * @returns what was told until then, in the order in which it came
 */
export function askAll<Id, Answer>(
  ids: readonly Id[],
  ask: (id: Id) => Promise<Answer>,
  isEnough: (answer: Answer) => boolean = () => false
): Promise<readonly AnswerOfPeer<Id, Answer>[]> {
  const told: AnswerOfPeer<Id, Answer>[] = []
  return new Promise(resolve => {
    const tell = (one: AnswerOfPeer<Id, Answer>, isLast: boolean): void => {
      if (told.push(one) === ids.length || isLast) resolve(told)
    }
    if (ids.length === 0) resolve(told)
    const askOne = async (by: Id): Promise<void> => {
      try {
        const answer = await ask(by)
        tell({ by, answer }, isEnough(answer))
      } catch (error) {
        tell({ by, error: error as PeerError }, false)
      }
    }
    for (const by of ids) void askOne(by)
  })
}

/** The parts of an error that are sent to the other process. */
export interface PeerFailure {
  readonly name: string
  readonly message: string
  /** The `code` of a CastellanError. Absent for other errors. */
  readonly code?: string | undefined
  /** Members of a CastellanError. Absent: an earlier build does not send them. */
  readonly retriable?: boolean | undefined
  readonly setting?: string | undefined
}

/** A call failed on the other side, or was not answered. */
export class PeerError extends Error {
  override readonly name: string = 'PeerError'
  /** The error of the other process. Absent: there was no answer. */
  override readonly cause: PeerFailure | undefined

  constructor(message: string, cause?: PeerFailure) {
    super(message)
    this.cause = cause
  }
}

/** Code of a call to a process that is gone, does not serve yet, or does not answer. */
export const NO_ANSWER = 'noAnswer'

/** Code of a call that was given up before a byte of it was sent, or refused by the successor of the called process. */
export const NOT_SENT = 'notSent'

export const isUnanswered = (error: unknown): boolean =>
  error instanceof PeerError && (error.cause?.code === NO_ANSWER || isNotSent(error))
export const isNotSent = (error: unknown): boolean => error instanceof PeerError && error.cause?.code === NOT_SENT

/** The parts of any error that are sent to the other process. */
export const toPeerFailure = (error: unknown): PeerFailure => {
  const { name, message, code } = error as Error & { code?: string }
  if (!(error instanceof CastellanError)) return { name, message, code }
  const { retriable, setting } = error
  return { name, message, code, retriable, setting }
}
