import type { ActorRef } from '../../core/actor/actor.js'
import { InvalidRequestError } from '../../core/errors.js'
import { suggestion } from '../../core/settings/problems.js'
import type { Operations, RequestOf, RouterMessage } from '../messages/operations.js'

/** The fields of the requests of users. JavaScript callers may give others, which would have no effect. */
const fields: { readonly [Operation in keyof Operations]: readonly (keyof RequestOf<Operation>)[] } = {
  fetchData: ['topicPartition', 'offset', 'maxWaitMs', 'isWanted', 'topicId'],
  fetchOffset: ['topicPartition', 'offsetType'],
  fetchConsumerOffset: ['groupId', 'topicPartition', 'rawMetadata', 'negativeOffset', 'requireStable'],
  commitConsumerOffset: [
    ...(['groupId', 'topicPartition', 'offsetAndMetadata', 'rawMetadata', 'negativeOffset'] as const),
    ...(['replacesWaiting', 'member'] as const)
  ],
  fetchTopicMetadata: ['requestId', 'topics', 'allowAutoTopicCreation'],
  produce: ['records']
}
const known: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries(fields).map(([type, names]) => [type, new Set(['type', 'timeoutMs', 'requester', ...names])])
)

/** @throws InvalidRequestError for a field that the request does not have, or a time below 0 */
export function checkQuestion(question: { readonly type: string }): void {
  const names = known.get(question.type)
  if (names !== undefined) for (const name in question) if (!names.has(name)) refuseField(name, question.type, names)
  const { timeoutMs = 0, maxWaitMs = 0 } = question as { readonly timeoutMs?: number; readonly maxWaitMs?: number }
  if (timeoutMs < 0) throw new InvalidRequestError(`timeoutMs must be at least 0, got ${timeoutMs}`)
  if (maxWaitMs < 0) throw new InvalidRequestError(`maxWaitMs must be at least 0, got ${maxWaitMs}`)
}

function refuseField(name: string, type: string, names: ReadonlySet<string>): never {
  throw new InvalidRequestError(`${name}: no such field of ${type}${suggestion(name, [...names])}`)
}

/** @throws InvalidRequestError for what is not the address of a Router, such as the Router itself */
export function checkAddress(router: ActorRef<RouterMessage>): void {
  if (typeof router?.tell === 'function') return
  const given = router as { readonly ref?: unknown } | null | undefined
  const meant = given?.ref === undefined ? 'castellan.router.ref' : 'router.ref'
  throw new InvalidRequestError(`this is not the address of a Router; did you mean ${meant}?`)
}
