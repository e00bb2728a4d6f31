import { CastellanError } from '../../core/errors.js'

/** A gateway that can be called and does not call for this time counts as gone: it cannot end what it has begun. */
export const SILENT_MS = 8_000

/** A call from another process, as its handler sees it. */
export interface PeerCall<Id> {
  readonly from: Id
  /** How long the caller still waits, in milliseconds. `undefined`: it waits until this process ends. */
  readonly timeoutMs: number | undefined
}

/**
 * Handles a call, whose body has the shape that callers of this name send: a method, so that a handler can declare it. An
 * error that it throws fails the call with its message and its code.
 */
export type PeerHandler<Id> = { handle(body: unknown, call: PeerCall<Id>): unknown }['handle']

export interface CallOptions {
  readonly timeoutMs: number
  /** The client whose share of the places for long calls it uses. */
  readonly client?: string | undefined
  /** `long`: it may wait, so only a share of the places for calls is for it. `ending`: it ends another one, and needs no place. */
  readonly kind?: 'long' | 'ending' | undefined
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
  /** Handles calls of the others. There is one handler for each name. */
  serve(name: string, handler: PeerHandler<Id>): void
  /**
   * Calls one of the others.
   *
   * @throws PeerError when the call fails; {@link isUnanswered} tells whether the reason is that the other process is gone or
   *   does not answer
   */
  call(to: Id, name: string, body: unknown, options: CallOptions): Promise<unknown>
  onGone(listener: (id: Id) => void): void
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
    for (const by of ids) {
      ask(by).then(
        answer => tell({ by, answer }, isEnough(answer)),
        (error: PeerError) => tell({ by, error }, false)
      )
    }
  })
}

/**
 * Calls all others that are known.
 *
 * @returns the answers that came in time, without an order
 */
export async function callOthers<Id>(
  peers: Peers<Id>,
  name: string,
  body: unknown,
  options: CallOptions
): Promise<unknown[]> {
  const told = await askAll(peers.others, id => peers.call(id, name, body, options))
  return told.flatMap(({ answer, error }) => (error === undefined ? [answer] : []))
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

/** A value from another process, whose members may be anything. */
export type Foreign<Of> = { readonly [Member in keyof Of]?: unknown }

export const isForeign = (value: unknown): value is Foreign<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

/**
 * The answer to a call, as it must be. What is not is as good as no answer: a gateway with a defect must not harm this one.
 *
 * @throws PeerError without a cause: what was asked may have been done
 */
export function fitting<Answer>(name: string, answer: unknown, fits: (answer: unknown) => boolean): Answer {
  if (fits(answer)) return answer as Answer
  throw new PeerError(`a gateway answers the call ${name} with what makes no sense`)
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
