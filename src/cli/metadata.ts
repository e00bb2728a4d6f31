import { ask } from '../core/actor/actor.js'
import type { TopicMetadata } from '../kafka/broker-client.js'
import type { FetchTopicMetadataResult } from '../router/messages/operations.js'
import { type Client, unreachable } from './client.js'

/** Interval of the checks whether any broker can be reached. */
const LOOK_EVERY_MS = 20

/**
 * Asks the Router for topics.
 *
 * @param names `null`: all topics
 * @throws CommandError as soon as every broker has been tried in vain, or when no broker answers within the client's
 * time-out
 */
export async function askForTopics(
  client: Client,
  names: readonly string[] | null
): Promise<ReadonlyMap<string, TopicMetadata>> {
  const { router, timeoutMs } = client
  const asked = ask<FetchTopicMetadataResult>('topic metadata', timeoutMs + 1_000, requester =>
    router.tell({ type: 'fetchTopicMetadata', requestId: 1, topics: names, requester, timeoutMs })
  )
  const watch = watchForTrouble(client)
  try {
    const result = await Promise.race([asked, watch.trouble])
    if (result.type === 'success') return result.topics
    throw unreachable(client, result.type === 'failed' ? result.message : result.reason)
  } finally {
    watch.stop()
  }
}

/**
 * Rejects when every broker has been tried in vain. A gateway keeps trying; a command reports the reason at once.
 */
function watchForTrouble(client: Client): { readonly trouble: Promise<never>; stop(): void } {
  let timer: NodeJS.Timeout | undefined
  const trouble = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const error = client.awayBecause()
      if (error !== undefined) reject(unreachable(client, error.message))
    }, LOOK_EVERY_MS)
  })
  return { trouble, stop: () => clearInterval(timer) }
}
