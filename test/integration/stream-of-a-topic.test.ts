import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Castellan, openCastellan, type ReadOptions } from '../../src/index.js'
import { freshTopic, type TargetCluster, targetCluster } from '../support/target-cluster.js'

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}-${at}`)

describe('castellan.read', () => {
  let cluster: TargetCluster
  let castellan: Castellan
  let topic: string
  beforeEach(async () => {
    cluster = await targetCluster()
    castellan = await openCastellan({ brokers: cluster.bootstrap, delivery: { createTopics: false } })
    topic = freshTopic('streamed')
    await cluster.createTopic(topic, 1)
  })
  afterEach(async () => {
    await castellan?.close(0)
    await cluster?.close()
  })

  async function write(values: readonly string[]): Promise<void> {
    const records = values.map(value => ({ topic, partition: 0, key: null, value }))
    const outcomes = await castellan.gateway.produce(records, { partitioner: 'crc32', deadlineMs: 30_000 }).outcomes()
    for (const { type } of outcomes) expect(type).to.equal('delivered')
  }

  async function read(options: ReadOptions, values: string[] = []): Promise<string[]> {
    for await (const { value } of castellan.read(topic, options)) values.push(String(value))
    return values
  }

  async function recreate(): Promise<void> {
    await cluster.deleteTopic(topic)
    for (let attempt = 0; ; attempt++) {
      try {
        await cluster.createTopic(topic, 1)
        return
      } catch (error) {
        // Kafka takes a moment to forget the name.
        if (attempt === 50) throw error
        await sleep(100)
      }
    }
  }

  const until = async (holds: () => boolean): Promise<void> => {
    for (const deadline = performance.now() + 30_000; !holds() && performance.now() < deadline; ) await sleep(10)
  }

  for (const [before, after] of [
    [0, 5],
    [5, 3],
    [5, 5],
    [5, 40]
  ] as const) {
    it(`reads each of ${after} records of a topic created anew once, having read ${before} of its predecessor`, async () => {
      const old = numbered('old', before)
      await write(old)
      const values: string[] = []
      const warnings: string[] = []
      const controller = new AbortController()
      const onWarning = (text: string): void => void warnings.push(text)
      const reading = read({ follow: true, signal: controller.signal, onWarning }, values)
      // A topic that is empty has nothing by which to see that its end is waited at.
      await (before > 0 ? until(() => values.length === before) : sleep(500))
      await recreate()
      const recent = [...numbered('new', after), 'last']
      await write(recent)
      await until(() => values.includes('last'))
      // What would be read twice comes within the next long poll.
      await sleep(500)
      controller.abort()
      await reading
      expect(values).to.deep.equal([...old, ...recent])
      expect(warnings).to.include(`${topic}/0 was created anew, and is read from its beginning`)
    })
  }

  it('reads all records that were acknowledged before, while leaders move', async () => {
    const written: string[] = []
    for (let round = 0; round < 6; round++) {
      const values = numbered(`round${round}`, 50)
      await write(values)
      written.push(...values)
      const leader = await cluster.leaderOf(topic, 0)
      const next = cluster.nodeIds[(cluster.nodeIds.indexOf(leader) + 1) % cluster.nodeIds.length]!
      const moving = cluster.moveLeader(topic, 0, next)
      const [during] = await Promise.all([read({}), moving])
      expect(during).to.deep.equal(written)
      expect(await read({})).to.deep.equal(written)
    }
  })
})
