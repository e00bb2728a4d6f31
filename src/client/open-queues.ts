import { randomBytes } from 'node:crypto'
import { QueueReader } from '../consumer/queue/queue-reader.js'
import { GATEWAY_ID_BYTES, newTokenGiver, type TokenGiver } from '../consumer/queue/queue-token.js'
import { Queues, type QueuesDeps } from '../consumer/queue/queues.js'
import type { ActorRef } from '../core/actor/actor.js'
import { performanceClock } from '../core/clocks.js'
import { LoopTurns } from '../core/loop-turns.js'
import { defaultRecordBytes, RecordBudget } from '../core/record-budget.js'
import type { RouterMessage } from '../router/messages/operations.js'
import { KafkaAdmin, type KafkaAdminDeps } from '../verbs/kafka-admin.js'
import { KafkaQueueAdmin } from '../verbs/queue-admin.js'

export interface OpenQueuesOptions extends Pick<QueuesDeps, 'cluster' | 'limits' | 'log' | 'metrics' | 'isolation'> {
  readonly router: ActorRef<RouterMessage>
  readonly delivery: KafkaAdminDeps['delivery']
  /** The same for all clusters of the process. Absent: tokens name a gateway of a random id. */
  readonly giver?: TokenGiver | undefined
  /** Memory for records of answers, which all clusters share. Absent: that of these queues alone. */
  readonly records?: RecordBudget | undefined
  /** All long work of the process takes turns by it. Absent: only queues do. */
  readonly turns?: LoopTurns | undefined
}

/** The queues of one cluster. */
export function openQueues({ router, delivery, giver, turns, records, ...options }: OpenQueuesOptions): Queues {
  const { log } = options
  const admin = new KafkaAdmin({ router, delivery, clock: performanceClock })
  return new Queues({
    ...options,
    ...(giver ?? newTokenGiver(randomBytes(GATEWAY_ID_BYTES))),
    turns: turns ?? new LoopTurns(),
    records: records ?? new RecordBudget(defaultRecordBytes(), performanceClock),
    clock: performanceClock,
    admin: new KafkaQueueAdmin(router, admin, performanceClock),
    openReader: (topic, groupId, events, start) =>
      new QueueReader({ topic, groupId, router, now: performanceClock, log, events, start })
  })
}
