import { endingAtOnce, onAbort } from '../../core/ending.js'
import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import type { ConsumedMessage, ConsumeResult } from './consume-result.js'
import type { ConsumerGroups } from './consumer-groups.js'

/** The options of `castellan.consume`. */
export interface ConsumeOptions {
  readonly group: string
  readonly topic: string
  /** When this signal is aborted, the loop ends without an error. */
  readonly signal?: AbortSignal | undefined
}

/** How long one request waits for a message. The next request follows at once. */
const POLL_MS = 10_000
const RETRY_PAUSE_MS = 500

/**
 * The messages of a topic on behalf of a group, one after another. Each message must be acknowledged. An unacknowledged
 * message is offered again after `ackTimeoutMs`, maybe by another process. Concurrent loops share the messages. The
 * loop ends when the caller leaves it, when `signal` is aborted, and when the groups stop.
 *
 *   for await (const message of consumeMessages(groups, { group: 'billing', topic: 'orders' })) {
 *     await bill(message)
 *     message.ack()
 *   }
 *
 * @throws CastellanError from the loop, when the group cannot be joined or may not read the topic; `code` is the reason
 */
export const consumeMessages = (
  groups: ConsumerGroups,
  options: ConsumeOptions
): AsyncGenerator<ConsumedMessage, void, undefined> => endingAtOnce(end => messagesOf(groups, options, end))

async function* messagesOf(
  groups: ConsumerGroups,
  { group, topic, signal }: ConsumeOptions,
  end: AbortController
): AsyncGenerator<ConsumedMessage, void, undefined> {
  if (group === '' || topic === '') throw new InvalidRequestError('a group and a topic are needed to consume')
  const leave = onAbort(signal, () => end.abort())
  try {
    while (!end.signal.aborted) {
      const result = await next(groups, group, topic, end.signal)
      if (result?.type === 'message') {
        // The generator may be ended in the tick in which the message comes: the loop would not get it then.
        if (end.signal.aborted) result.message.release()
        else yield result.message
      } else if (result?.type === 'failed') {
        if (result.code === 'shuttingDown') return
        if (!result.retriable) throw new CastellanError(result.code, result.message, false)
        await pause(end.signal)
      }
    }
  } finally {
    leave()
  }
}

/** Asks for the next message; `undefined`: the end came first. */
function next(
  groups: ConsumerGroups,
  group: string,
  topic: string,
  ended: AbortSignal
): Promise<ConsumeResult | undefined> {
  return new Promise(resolve => {
    let cancel = (): void => undefined
    const leave = onAbort(ended, () => {
      cancel()
      resolve(undefined)
    })
    const reply = (result: ConsumeResult): void => {
      leave()
      resolve(result)
    }
    cancel = groups.request(group, topic, POLL_MS, { reply })
  })
}

const pause = (ended: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    const timer = setTimeout(() => {
      leave()
      resolve()
    }, RETRY_PAUSE_MS)
    const leave = onAbort(ended, () => {
      clearTimeout(timer)
      resolve()
    })
  })
