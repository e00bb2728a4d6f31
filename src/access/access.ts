import type { IncomingMessage } from 'node:http'
import { ForbiddenError, type QuotaExceededError } from '../errors.js'

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

/** Who asks, and what they may do. One per request. */
export interface Caller {
  /** The name that rules, quotas and audit lines use. */
  readonly principal: string
  allows(operation: Operation, target?: Target): boolean
  /**
   * The same as an error to be answered with 403, written to the audit log; `undefined`: go on. A dialect asks as soon as
   * it knows the names: before the body when they stand in the path, else after it has parsed the body.
   */
  refusalOf(operation: Operation, target?: Target): ForbiddenError | undefined
  /** The same for many records at once: refused when any of their topics is. */
  refusalOfTopics(operation: Operation, records: readonly { readonly topic: string }[]): ForbiddenError | undefined
  /**
   * Takes records and bytes off the quotas, to be called once they are known. The error is to be answered with 429, and
   * nothing of the request done; a dialect that has already done it (a read) ignores the result.
   */
  charge(records: number, bytes: number): QuotaExceededError | undefined
}

/** How a dialect finds out who asks. */
export interface Access {
  callerOf(request: IncomingMessage): Caller
}

/** The principal of a client that sends no credentials where none are needed. */
export const ANONYMOUS = 'anonymous'

/** Everybody may do everything: nothing about access is configured. */
const openCaller: Caller = {
  principal: ANONYMOUS,
  allows: () => true,
  refusalOf: () => undefined,
  refusalOfTopics: () => undefined,
  charge: () => undefined
}

const notLetIn = (): ForbiddenError => new ForbiddenError('the request has not come through the door')

/** Nobody may do anything. */
export const nobody: Caller = {
  principal: 'nobody',
  allows: () => false,
  refusalOf: notLetIn,
  refusalOfTopics: notLetIn,
  charge: () => undefined
}

/** The access of a gateway without any rules. */
export const openAccess: Access = { callerOf: () => openCaller }
