import { openQueues } from '../../../src/client/open-queues.js'
import type { Queues } from '../../../src/consumer/queue/queues.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import {
  type AcquireOptions,
  type AcquireResult,
  NOTHING_TO_SETTLE,
  type QueueMessage,
  type Settlement
} from '../../../src/verbs/verbs.js'
import type { Castellan } from '../../support/castellan.js'
import { WIDE_LIMITS } from '../../support/queue-limits.js'

const ASKED: AcquireOptions = {
  count: 1,
  waitMs: 30_000,
  maxBytes: 1_048_576,
  lockMs: undefined,
  start: 'earliest',
  client: 'a test',
  mayAlter: true
}

export const queuesOf = ({ router, delivery }: Castellan): Queues => {
  const of = { cluster: 'default', limits: WIDE_LIMITS, log: silentLogger, metrics: defaultLogger }
  return openQueues({ ...of, router: router.ref, delivery })
}

/** A client of one queue, without HTTP. */
export class QueueClient {
  readonly #queues: Queues
  readonly #topic: string
  readonly #group: string

  constructor(queues: Queues, topic: string, group: string) {
    this.#queues = queues
    this.#topic = topic
    this.#group = group
  }

  /** One message of the earliest, within 30 s, unless `options` say else. Rejects when it is refused. */
  acquire(options: Partial<AcquireOptions> = {}): Promise<readonly QueueMessage[]> {
    return new Promise((resolve, reject) => {
      const reply = (result: AcquireResult): void =>
        result.type === 'acquired' ? resolve(result.messages) : reject(new Error(result.message))
      this.#queues.acquire(this.#topic, this.#group, { ...ASKED, ...options }, { reply })
    })
  }

  /** The outcome of the first token. */
  async outcomeOf(words: Partial<Settlement>): Promise<string> {
    const [result] = await this.#queues.settle(this.#topic, this.#group, { ...NOTHING_TO_SETTLE, ...words })
    return result!.outcome
  }
}
