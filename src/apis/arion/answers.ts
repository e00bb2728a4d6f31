import type { Destination } from './target.js'

/** The bodies of Arion's answers: compact JSON. */

let lastMs = Number.NaN
let lastTime = ''

/** Neighbouring answers mostly have the same time. */
function time(epochMs: number): string {
  if (epochMs !== lastMs) {
    lastMs = epochMs
    lastTime = new Date(epochMs).toISOString()
  }
  return lastTime
}

export interface SentMessage extends Destination {
  readonly partition: number
  readonly offset: number
  /** When Kafka acknowledged it, epoch milliseconds. */
  readonly sentAt: number
}

/** A topic is legal and needs no escape. */
export const sentBody = ({ topic, key, partition, offset, sentAt }: SentMessage): string =>
  `{"status":"sent","key":${JSON.stringify(key)},"topic":"${topic}","partition":${partition},"offset":${offset},"sent":"${time(sentAt)}"}`

/** The reply on a websocket has another order. */
export const sentReply = ({ topic, key, partition, offset, sentAt }: SentMessage): string =>
  `{"topic":"${topic}","partition":${partition},"offset":${offset},"sent":"${time(sentAt)}","status":"sent","key":${JSON.stringify(key)}}`

export const enqueuedBody = ({ topic, key }: Destination, enqueuedAt: number, id: string): string =>
  `{"status":"enqueued","topic":"${topic}","key":${JSON.stringify(key)},"enqueued":"${time(enqueuedAt)}","id":"${id}"}`

/** Arion says `error` where the client or the queue is to blame. */
export const errorBody = (error: string, further: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({ status: 'error', error, ...further })

/** Where the server is to blame it says `message` and `details`. */
export const serverErrorBody = (message: string, details: string | null): string =>
  JSON.stringify({ status: 'error', message, details })

export const tooLargeBody = (sizeBytes: number, limitBytes: number): string =>
  errorBody('message too large', { size: sizeBytes, limit: limitBytes })

export const HEALTH_BODY = '{"status":"ok"}'
export const UNABLE_TO_ENQUEUE = errorBody('unable to enqueue message')
export const TOO_MANY_REQUESTS = 'too many concurrent requests; backoff and retry'
export const UNEXPECTED = 'server encountered an error processing request'
export const EXPECTED_WEBSOCKET = 'expected websocket request'
