import type { IncomingMessage } from 'node:http'
import { type CastellanError, ForbiddenError } from '../../core/errors.js'
import type { IncomingRequest } from './identity.js'

/**
 * What a rule may allow:
 *
 *   produce      write records to a topic
 *   consume      read records of a topic, alone or as a member of a group
 *   offsets      read or commit offsets of a group
 *   admin        list, create, change or delete topics and groups
 *   management   what is not about topics: the metrics of the process
 */
export const OPERATIONS = ['produce', 'consume', 'offsets', 'admin', 'management'] as const
export type Operation = (typeof OPERATIONS)[number]

/** What is asked for. A field that is absent is not part of the question. */
export interface Target {
  readonly topic?: string | undefined
  readonly group?: string | undefined
}

/** The client of one request, and what it may do. */
export interface Caller {
  /** The name that rules, quotas and audit lines use. */
  readonly principal: string
  allows(operation: Operation, target?: Target): boolean
  /**
   * Returns the error to answer with 403, which is written to the audit log; `undefined`: allowed. An API calls it
   * as soon as it knows the names: before the body when they stand in the path, otherwise after parsing the body.
   */
  refusalOf(operation: Operation, target?: Target): CastellanError | undefined
  /** The same for many records: refused when any of their topics is refused. */
  refusalOfTopics(operation: Operation, records: readonly { readonly topic: string }[]): CastellanError | undefined
  /**
   * The reason to refuse a request that concerns no topic, such as one for the statistics of an API: no rule applies to
   * this client.
   */
  refusalOfUnruled(): ForbiddenError | undefined
  /**
   * For a request that stays open, such as a websocket: checks credentials and rules again every minute, when the
   * credentials expire, and when the settings have changed. To be called once per request at most; ends with the request.
   *
   * @param onRefused called once, when it may not go on
   */
  watch(operation: Operation, target: Target, onRefused: (error: CastellanError) => void): void
  /**
   * Charges records and bytes to the quotas; to be called once they are known, that is when the body has come. The error is
   * to be answered, and the request not carried out: 429, or 401 and 403 where credentials or permissions were taken away since
   * the request was admitted. An API that has already carried it out (a read) ignores the result.
   */
  charge(records: number, bytes: number): CastellanError | undefined
}

/** Gives an API the caller of a request. */
export interface Access {
  callerOf(request: IncomingMessage): Caller
  /**
   * Admits a request that did not come over HTTP; the listeners of HTTP admit theirs. Absent: every request is admitted.
   *
   * @param done called once; with an error when the request is refused
   */
  enter?(incoming: IncomingRequest, done: (error?: CastellanError) => void): void
}

/** The principal of clients without credentials, where those are admitted. */
export const ANONYMOUS = 'anonymous'

/** A caller that may do everything: no access rules are configured. */
const openCaller: Caller = {
  principal: ANONYMOUS,
  allows: () => true,
  refusalOf: () => undefined,
  refusalOfUnruled: () => undefined,
  watch: () => undefined,
  refusalOfTopics: () => undefined,
  charge: () => undefined
}

const notAdmitted = (): ForbiddenError => new ForbiddenError('the request was not admitted')

/** A caller that may do nothing. */
export const deniedCaller: Caller = {
  principal: 'unknown',
  allows: () => false,
  refusalOf: notAdmitted,
  refusalOfUnruled: notAdmitted,
  watch: () => undefined,
  refusalOfTopics: notAdmitted,
  charge: () => undefined
}

/** The access of a gateway without any rules. */
export const openAccess: Access = { callerOf: () => openCaller }
