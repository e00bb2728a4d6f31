import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { onTargetCluster } from '../../support/castellan.js'
import { explain, History, type Logged } from '../../support/history-checker.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const partitions = 4

describe('a stream of records', () => {
  inWorld()
  const on = onTargetCluster()

  /** Bursts that are not awaited, until `disturb` has ended and every burst has its outcomes. */
  async function streamWhile(topic: string, disturb: () => Promise<void>): Promise<History> {
    const history = new History()
    let disturbed = false
    const bursts: Promise<void>[] = []
    const disturbing = disturb().finally(() => (disturbed = true))
    for (let burst = 0; !disturbed; burst++) {
      const records = Array.from({ length: 5 }, (_, index) => {
        const id = `id${burst * 5 + index}`
        history.invoke({ id, topic, key: `key-${index % 3}`, value: id })
        return { id, topic, key: `key-${index % 3}`, value: id }
      })
      bursts.push(
        on.castellan.produce(records).then(outcomes => {
          outcomes.forEach((outcome, index) => {
            const { id } = records[index]!
            if (outcome.type === 'delivered') history.complete(id, { ...outcome, type: 'ok' })
            else
              history.complete(id, outcome.persisted === 'no' ? { type: 'fail' } : { type: 'unknown', answered: true })
          })
        })
      )
      await sleep(5)
    }
    await disturbing
    await Promise.all(bursts)
    return history
  }

  async function logOf(topic: string): Promise<Logged[]> {
    const all: Logged[] = []
    for (let partition = 0; partition < partitions; partition++) {
      for (const { offset, key, value } of await on.castellan.readAll(topic, partition)) {
        all.push({ topic, partition, offset, key: String(key), value: String(value) })
      }
    }
    return all
  }

  const judge = async (topic: string, history: History): Promise<void> => {
    const verdict = history.check(await logOf(topic), record => record.value)
    expect(verdict.violations, explain(verdict)).to.deep.equal([])
    expect(verdict.ok, explain(verdict)).to.equal(verdict.sent)
    expect(verdict.sent).to.be.greaterThan(20)
  }

  it('arrives once and in order while every leader moves', async () => {
    const topic = freshTopic('moved')
    await on.cluster.createTopic(topic, partitions)
    const history = await streamWhile(topic, async () => {
      for (let partition = 0; partition < partitions; partition++) {
        const leader = await on.cluster.leaderOf(topic, partition)
        await on.cluster.moveLeader(topic, partition, on.cluster.nodeIds.find(nodeId => nodeId !== leader)!)
        await sleep(50)
      }
    })
    await judge(topic, history)
  })

  it('arrives once and in order while a node is away', async () => {
    const topic = freshTopic('away')
    await on.cluster.createTopic(topic, partitions)
    const history = await streamWhile(topic, async () => {
      const leader = await on.cluster.leaderOf(topic, 0)
      await sleep(50)
      await on.cluster.killNode(leader)
      await sleep(300)
      await on.cluster.reviveNode(leader)
      await sleep(100)
    })
    await judge(topic, history)
  })

  it('is read on by those who were reading', async () => {
    const topic = freshTopic('read-on')
    await on.cluster.createTopic(topic, 1)
    const produce = (value: string): Promise<unknown> =>
      on.castellan.produce([{ topic, partition: 0, key: null, value }])
    await produce('before')
    const reading = on.castellan.read(topic, 0, 3)
    const leader = await on.cluster.leaderOf(topic, 0)
    await on.cluster.moveLeader(topic, 0, on.cluster.nodeIds.find(nodeId => nodeId !== leader)!)
    await produce('moved')
    await on.cluster.moveLeader(topic, 0, leader)
    await produce('moved back')
    expect([...(await reading).values()].map(record => String(record.value))).to.deep.equal([
      'before',
      'moved',
      'moved back'
    ])
  })
})
