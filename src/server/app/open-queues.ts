import { randomBytes } from 'node:crypto'
import { QueueReader } from '../../consumer/queue/queue-reader.js'
import { GATEWAY_ID_BYTES } from '../../consumer/queue/queue-token.js'
import { Queues, type QueuesDeps } from '../../consumer/queue/queues.js'
import type { ActorRef } from '../../core/actor/actor.js'
import { performanceClock } from '../../core/clocks.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import { KafkaAdmin, type KafkaAdminDeps } from '../../verbs/kafka-admin.js'
import { KafkaQueueAdmin } from '../../verbs/queue-admin.js'

const KEY_BYTES = 32

export interface OpenQueuesOptions extends Pick<QueuesDeps, 'cluster' | 'limits' | 'log' | 'metrics'> {
  readonly router: ActorRef<RouterMessage>
  readonly delivery: KafkaAdminDeps['delivery']
}

/** The queues of one cluster. Each process has an id and a key of its own, so it takes no token of another one. */
export function openQueues({ router, delivery, ...options }: OpenQueuesOptions): Queues {
  const { log } = options
  const admin = new KafkaAdmin({ router, delivery, clock: performanceClock })
  return new Queues({
    ...options,
    clock: performanceClock,
    gatewayId: randomBytes(GATEWAY_ID_BYTES),
    key: randomBytes(KEY_BYTES),
    admin: new KafkaQueueAdmin(router, admin, performanceClock),
    openReader: (topic, groupId, events) =>
      new QueueReader({ topic, groupId, router, now: performanceClock, log, events })
  })
}
