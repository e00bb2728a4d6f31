import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { admits, answerWork, type Params } from '../../http/api/endpoint.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { queueOf, refusalOfAltering } from './named-queue.js'
import type { QueueParts } from './queue-answers.js'
import { configuring, withJson } from './requests.js'

/** `GET /{topic}/{group}`. */
export function describe(parts: QueueParts, exchange: Exchange, params: Params): void {
  const { queues, topic, group } = queueOf(parts, exchange, params)
  if (!admits(parts, exchange, 'queues.describe', { topic, group })) return
  answerWork(parts, exchange, async () => {
    const { state, members, partitions, settings = null } = await queues.describe(topic, group, LOOK_UP_TIMEOUT_MS)
    parts.answers.ok(exchange, JSON.stringify({ topic, group, state, members, partitions, settings }))
  })
}

/** `PATCH /{topic}/{group}`: the settings of the group, which count for all its topics. */
export function configure(parts: QueueParts, exchange: Exchange, params: Params): void {
  const { queues, topic, group } = queueOf(parts, exchange, params)
  if (!admits(parts, exchange, 'queues.configure', { topic, group })) return
  withJson(parts, exchange, configuring, changes => {
    const caller = parts.access.callerOf(exchange.request)
    const { deadLetters } = changes
    const refusal = typeof deadLetters === 'string' ? caller.refusalOf('produce', { topic: deadLetters }) : undefined
    if (refusal !== undefined) throw refusal
    answerWork(parts, exchange, async () => {
      // A client that may alter everything needs no list of what it alters.
      const { topics } = caller.isRuled ? await queues.describe(topic, group, LOOK_UP_TIMEOUT_MS) : { topics: [] }
      const refused = refusalOfAltering(caller, topics, group)
      if (refused !== undefined) throw refused
      const settings = await queues.configure(topic, group, changes, LOOK_UP_TIMEOUT_MS)
      parts.answers.ok(exchange, JSON.stringify({ group, appliesTo: 'all topics of the group', ...settings }))
    })
  })
}
