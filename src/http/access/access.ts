import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import {
  type CastellanError,
  ForbiddenError,
  OverloadedError,
  QuotaExceededError,
  UnauthenticatedError,
  UnavailableError,
  UnreadableBodyError
} from '../../core/errors.js'
import { ANONYMOUS } from '../../verbs/produce-origin.js'
import type { Operation } from '../../verbs/rights.js'

export { ANONYMOUS } from '../../verbs/produce-origin.js'
export { OPERATIONS, type Operation } from '../../verbs/rights.js'

/** The topic, group or subject that a caller wants to use. An absent field is not checked. */
export interface AccessTarget {
  readonly topic?: string | undefined
  readonly group?: string | undefined
  readonly subject?: string | undefined
  /** The tool by which an agent asks: it is in the audit log, and no rule is about it. */
  readonly tool?: string | undefined
}

/** The client of one request, and what it may do. */
export interface Caller {
  /** The name that rules, quotas and audit lines use. */
  readonly principal: string
  /** False: no rules are configured, so everything is allowed. */
  readonly isRuled: boolean
  allows(operation: Operation, target?: AccessTarget): boolean
  /**
   * Returns the error to answer with 403, which is written to the audit log; `undefined`: allowed. An API calls it
   * as soon as it knows the names: before the body when they stand in the path, otherwise after parsing the body.
   */
  refusalOf(operation: Operation, target?: AccessTarget): CastellanError | undefined
  /** {@link refusalOf} for many records: refused when any of their topics is refused. */
  refusalOfTopics(operation: Operation, records: readonly { readonly topic: string }[]): CastellanError | undefined
  /**
   * The reason to refuse a request without a topic, such as one for the statistics of an API: no rule gives this client
   * anything.
   */
  refusalOfUnruled(): ForbiddenError | undefined
  /**
   * Watches a request that stays open, such as a websocket: checks credentials and rules again every minute, when the
   * credentials expire, and when the settings have changed. Called at most once per request; ends with the request.
   *
   * @param onRefused called once, when it may not go on
   */
  watch(operation: Operation, target: AccessTarget, onRefused: (error: CastellanError) => void): void
  /** Writes to the audit log that the request has made a share group, where allowed requests are written to it. */
  noteCreated(target: AccessTarget): void
  /**
   * Charges records and bytes to the quotas; to be called once they are known, that is when the body has come. The
   * error is to be answered, and the request not carried out: 429, or 401 and 403 where credentials or permissions were
   * taken away since the request was admitted. Nothing is charged then.
   */
  charge(records: number, bytes: number): CastellanError | undefined
  /** Charges what was carried out already, such as a read, also where the quotas are used up: the next requests wait longer. */
  spend(records: number, bytes: number): void
}

export interface Access {
  callerOf(request: IncomingMessage): Caller
  /**
   * Admits a request that did not come over HTTP; the listeners of HTTP admit theirs. Absent: every request is
   * admitted.
   *
   * @param done called once; with an error when the request is refused
   */
  enter?(incoming: IncomingRequest, done: (error?: CastellanError) => void): void
  /**
   * Admits a request that another process has admitted, and has passed on. What its client may do is looked up here; its
   * quotas count there. Absent: every client may do everything.
   */
  admitForwarded?(request: IncomingMessage, from: PassedOn): ForwardedCaller
}

/** A request that another process has admitted, and has passed on. */
export interface PassedOn {
  readonly principal: string
  /** The full address of the client, for log lines. */
  readonly address: string
  readonly requestId: string
}

export interface ForwardedCaller extends Caller {
  /** Amounts that were charged to the quotas of the client. */
  readonly charged: { readonly records: number; readonly bytes: number }
}

/** A caller whose questions all have the same answer. */
const callerWith = (principal: string, refusal: () => ForbiddenError | undefined): Caller => ({
  principal,
  isRuled: refusal() !== undefined,
  allows: () => refusal() === undefined,
  refusalOf: refusal,
  refusalOfUnruled: refusal,
  refusalOfTopics: refusal,
  watch: () => undefined,
  noteCreated: () => undefined,
  charge: () => undefined,
  spend: () => undefined
})

const openCaller = callerWith(ANONYMOUS, () => undefined)
export const deniedCaller = callerWith('unknown', () => new ForbiddenError('the request was not admitted'))

const CALLER = Symbol('caller')

export type Called = IncomingMessage & { [CALLER]?: Caller }

export const admittedCaller = (request: Called): Caller | undefined => request[CALLER]

export const admit = (request: Called, caller: Caller): void => {
  request[CALLER] = caller
}

export const principalOf = (request: Called): string => request[CALLER]?.principal ?? ANONYMOUS

export const openAccess: Access = { callerOf: () => openCaller }

const RETRY_AFTER_SECONDS = 1

/** The status for refusing a request before it is carried out; `undefined` for errors of another kind. */
/** @param text who may not do what */
export const forbiddenByRules = (text: string): ForbiddenError =>
  new ForbiddenError(`${text} (access.rules)`, 'access.rules')

export function refusalStatus(error: unknown): number | undefined {
  if (error instanceof UnauthenticatedError) return 401
  if (error instanceof ForbiddenError) return 403
  if (error instanceof QuotaExceededError) return 429
  if (error instanceof UnreadableBodyError) return error.status
  return error instanceof OverloadedError || error instanceof UnavailableError ? 503 : undefined
}

export function refusalHeaders(error: unknown): Readonly<Record<string, string>> {
  if (error instanceof UnauthenticatedError) return { 'www-authenticate': error.challenge }
  if (error instanceof QuotaExceededError) return { 'retry-after': String(error.retryAfterSeconds) }
  if (error instanceof ForbiddenError) return {}
  if (error instanceof UnreadableBodyError)
    return error.accepted === undefined ? {} : { 'accept-encoding': error.accepted }
  return { 'retry-after': String(RETRY_AFTER_SECONDS) }
}

export type AuthMethod = 'token' | 'password' | 'certificate' | 'jwt' | 'unixSocket' | 'forwarded' | 'none'

export interface Identity {
  readonly principal: string
  readonly method: AuthMethod
  /** Epoch milliseconds at which the credentials must be verified again; infinite: they do not expire. */
  readonly validUntil: number
}

/** Why a client is refused: it did not authenticate, or its credentials cannot be verified at the moment. */
export type AuthRefusal = UnauthenticatedError | UnavailableError | OverloadedError

export type Authentication = Identity | AuthRefusal

/** Facts about a request that are known before its body is read. */
export interface ArrivedRequest {
  readonly authorization: string | undefined
  /** The connection, whose peer may have shown a certificate. */
  readonly socket: Socket
  /** The key under which quotas count the peer's address; empty on a unix socket. */
  readonly address: string
  readonly isUnixSocket: boolean
}

export interface IncomingRequest extends ArrivedRequest {
  readonly request: IncomingMessage
  readonly requestId: string
  /** The full address of the peer, for log lines. */
  readonly peer: string
  /** True: quotas do not apply, because the request is a question of an operator. Default: they apply. */
  readonly isExempt?: boolean
  /** Calls back when the request has ended, in whatever way; at once if it already has. */
  onEnd(ended: () => void): void
  /** Requests behind it on its connection do not begin until {@link letGo}. Absent: they have no order. */
  hold?(): void
  letGo?(): void
}

export const isRefusal = (authentication: object): authentication is AuthRefusal => authentication instanceof Error

const PRINTABLE = /^[^\p{C}]{1,256}$/u

/**
 * Whether a name from outside (a claim, a certificate) can be a principal. Control characters could forge log lines,
 * and `anonymous` is reserved for clients without credentials.
 */
export const isPrincipal = (name: unknown): name is string =>
  typeof name === 'string' && PRINTABLE.test(name) && name !== ANONYMOUS
