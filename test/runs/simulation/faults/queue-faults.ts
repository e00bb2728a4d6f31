import type { ApiName } from '../../../../src/embedded-broker/embedded-cluster.js'
import type { FaultKind } from './fault.js'
import { type Harm, order } from './protocol-faults.js'

/** The locks of share groups in a topic end at once, as if their time were over. */
const endLocks: FaultKind = ({ brokers, topics }, random) => {
  const topic = random.pick(topics)
  brokers.endLocks(topic)
  return { what: topic }
}

const shareApis: readonly ApiName[] = ['ShareGroupHeartbeat', 'ShareFetch', 'ShareAcknowledge', 'ShareAcknowledge']

/** What a queue asks for is done late, not done, or done and not answered. */
const troubleQueues: FaultKind = (targets, random) =>
  order(targets, random, shareApis, () =>
    random.pick<Harm>([
      { action: { type: 'delay', delayMs: random.pick([200, 2_000, 9_000]), afterWork: true }, what: 'late' },
      { action: { type: 'delay', delayMs: random.pick([200, 2_000, 9_000]), afterWork: false }, what: 'done late' },
      { action: { type: 'close', afterWork: true }, what: 'done, but the connection is closed' },
      { action: { type: 'close', afterWork: false }, what: 'the connection is closed' },
      { action: { type: 'dropRequest' }, what: 'nothing is done or answered' },
      { action: { type: 'dropResponse' }, what: 'done, but nothing is answered' }
    ])
  )

/** The answer of an acknowledgement is lost, or comes when nobody waits for it any more. */
const loseAcknowledgements: FaultKind = (targets, random) =>
  order(targets, random, ['ShareAcknowledge'], () =>
    random.pick<Harm>([
      { action: { type: 'dropResponse' }, what: 'done, but nothing is answered' },
      { action: { type: 'close', afterWork: true }, what: 'done, but the connection is closed' },
      { action: { type: 'delay', delayMs: 12_000, afterWork: true }, what: '12 s late' }
    ])
  )

export const queueFaults = { endLocks, troubleQueues, loseAcknowledgements }
