import type { Failure, RouterMessage } from '../messages/operations.js'
import { operations } from '../processors/operations.js'
import type { AnyAccepted } from '../requests/accepted.js'
import { invalid } from '../requests/problems.js'

const otherMessages: ReadonlySet<unknown> = new Set(['produce', 'produceBatches'] satisfies RouterMessage['type'][])

/** Whether it is a message for the Router at all. Types do not keep JavaScript callers out. */
export function isRouterMessage(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false
  const { type, requests, topics } = message as { type?: unknown; requests?: unknown; topics?: unknown }
  if (type === 'followTopics' || type === 'unfollowTopics') return Array.isArray(topics) && 'follower' in message
  if (type === 'requests') return Array.isArray(requests) && requests.every(isRouterMessage)
  return (
    otherMessages.has(type) || (typeof type === 'string' && type !== 'produceBatch' && Object.hasOwn(operations, type))
  )
}

/** What makes a request impossible to ask any broker, if anything does. */
export function problemOf({ operation, request }: AnyAccepted): Failure | undefined {
  const { timeoutMs } = request as { readonly timeoutMs?: unknown }
  if (!isTimeout(timeoutMs)) return invalid('invalidRequest', `no time-out: ${timeoutMs}`)
  try {
    return operation.problemOf(request as never)
  } catch {
    return invalid('invalidRequest', `a ${operation.kind} request lacks a part`)
  }
}

const isTimeout = (timeoutMs: unknown): boolean =>
  timeoutMs === undefined || (typeof timeoutMs === 'number' && !Number.isNaN(timeoutMs))
