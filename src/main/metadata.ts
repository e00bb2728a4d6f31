import { ask } from '../actor/requester.js'
import type { FetchTopicMetadataResult } from '../operations.js'
import type { TopicMetadata } from '../wire/broker-client.js'
import { type Client, unreachable } from './client.js'

/** A pause between two questions to a cluster that does not answer yet. */
const RETRY_DELAY_MS = 200

/**
 * Asks the Router for topics, again while no broker answers.
 *
 * @param names `null`: all
 * @throws CommandError when nobody answers within the client's time-out
 */
export async function askForTopics(
  client: Client,
  names: readonly string[] | null
): Promise<ReadonlyMap<string, TopicMetadata>> {
  const giveUpAt = performance.now() + client.timeoutMs
  for (let requestId = 1; ; requestId++) {
    const timeoutMs = Math.max(1, Math.ceil(giveUpAt - performance.now()))
    const result = await ask<FetchTopicMetadataResult>('topic metadata', timeoutMs + 1_000, requester =>
      client.router.tell({ type: 'fetchTopicMetadata', requestId, topics: names, requester, timeoutMs })
    )
    if (result.type === 'success') return result.topics
    const reason = result.type === 'failed' ? result.message : undefined
    const mayPass = result.type === 'timedOut' || result.retriable
    if (!mayPass || performance.now() + RETRY_DELAY_MS >= giveUpAt) throw unreachable(client, reason)
    await new Promise(resolve => setTimeout(resolve, RETRY_DELAY_MS))
  }
}
