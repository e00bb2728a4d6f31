import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { InstanceVerbs } from '../../../src/verbs/verbs.js'
import { done, instanceSettings } from '../../support/instances.js'
import { SeededRandom } from '../../support/random.js'
import { freshTopic } from '../../support/target-cluster.js'
import { LinkedGateway } from '../linked-gateways.js'
import { kcatConsume } from './kcat.js'
import { runningKafka } from './shared-cluster.js'

/** Changes of the instance, each tried at one of two gateways. */
const CHANGES = 120
/** One change of so many comes after a restart of a gateway, and one after a cut of the link or its repair. */
const RESTARTS = 12
const CUTS = 3

describe('consumer instances whose topic real Kafka cleans all the time', () => {
  const seed = Number(process.env.TEST_SEED ?? 1)
  const all: LinkedGateway[] = []
  let instancesTopic: string
  let started = 0
  const start = (): Promise<LinkedGateway> =>
    LinkedGateway.open(all, `g${++started}`, {
      brokers: runningKafka().bootstrap,
      consumer: { sessionTimeoutMs: 6_000, heartbeatIntervalMs: 500, instancesTopic }
    })
  const verbsOf = ({ verbs }: LinkedGateway): InstanceVerbs => verbs.instances
  after(async () => {
    for (const gateway of [...all]) await gateway.close()
  })

  it('keep each confirmed change, also for a fresh gateway, while gateways restart and do not see each other', async () => {
    const cluster = runningKafka()
    const random = new SeededRandom(seed)
    const topic = freshTopic('orders')
    const instance = { groupId: freshTopic('billing'), name: 'one' }
    instancesTopic = freshTopic('instances')
    const eager = { 'segment.ms': '100', 'min.cleanable.dirty.ratio': '0.01', 'max.compaction.lag.ms': '100' }
    await cluster.createTopic(instancesTopic, 1, { 'cleanup.policy': 'compact', ...eager })
    await start()
    await start()
    done(await verbsOf(all[0]!).create(instance, instanceSettings, 'client'))
    let refused = 0
    for (let change = 0; change < CHANGES; change++) {
      if (random.between(1, RESTARTS) === 1) {
        await random.pick(all).close()
        await start()
      }
      if (random.between(1, CUTS) === 1) random.pick([() => all[0]!.cut(), () => all[0]!.join()])()
      const [one, other] = random.pick([all, [...all].reverse()])
      const wanted = [{ topic, partition: change }]
      // Each gateway that does not see the other one takes the instance over from it to answer.
      const beside = [one!, other!].map(async at => {
        await pass(random.between(0, 30))
        await verbsOf(at).assignment(instance)
      })
      const changed = await verbsOf(one!).assign(instance, wanted)
      await Promise.all(beside)
      if (changed.type !== 'done') refused++
      else expect(done(await verbsOf(other!).assignment(instance)), `change ${change}`).to.deep.equal(wanted)
    }
    const last = [{ topic, partition: CHANGES }]
    done(await verbsOf(all[0]!).assign(instance, last))
    // A record now and then, since the cleaner leaves the segment alone that is being written.
    await cluster.waitFor('compaction', async () => {
      const beside = { ...instance, name: freshTopic('beside') }
      done(await verbsOf(all[0]!).create(beside, instanceSettings, 'client'))
      done(await verbsOf(all[0]!).remove(beside))
      const left = await kcatConsume(cluster.bootstrap, instancesTopic)
      console.log(
        `      ${left.length} records are left of ${left.at(-1)!.offset + 1}; ${refused} changes were refused`
      )
      const keys = left.map(({ key }) => key)
      return keys.filter(key => String(key) === JSON.stringify([instance.groupId, instance.name])).length === 1
    })
    for (const gateway of [...all]) await gateway.close()
    const fresh = await start()
    expect(done(await verbsOf(fresh).assignment(instance))).to.deep.equal(last)
    expect(refused, 'changes that were refused').to.be.at.most(CHANGES / 10)
  })
})
