import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Castellan } from '../../support/castellan.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic, recreateTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const MAX_AGE_MS = 1_000

describe('a topic that is deleted and created anew', () => {
  inWorld()
  const stage = onCluster(true)
  let castellan: Castellan
  beforeEach(async () => {
    castellan = stage.castellan({
      createTopics: false,
      router: { metadataMaxAgeMs: MAX_AGE_MS, unknownTopicTimeoutMs: 1_000, unknownTopicRememberedMs: 300 }
    })
  })

  /** Written through another Router, so that the one under test hears of nothing. */
  async function write(topic: string, values: readonly string[]): Promise<void> {
    const writer = stage.castellan()
    for (const value of values) {
      const [outcome] = await writer.produce([{ topic, partition: 0, key: null, value }])
      expect(outcome?.type).to.equal('delivered')
    }
    await stage.close(writer)
  }

  /** What a reader gets who begins at 0, and begins again when it is told that its offset is out of range. */
  async function readFromStart(topic: string, until: (values: readonly string[]) => boolean): Promise<string[][]> {
    const runs: string[][] = []
    for (const deadline = performance.now() + 30_000; performance.now() < deadline; ) {
      const values: string[] = []
      runs.push(values)
      for (let offset = 0; !until(values); ) {
        const result = await castellan.fetchData(topic, 0, offset)
        if (result.type === 'success') {
          for (const record of result.batch) values.push(String(record.value))
          offset = result.batch.nextOffset
        } else if (result.type !== 'timedOut') break
      }
      if (until(values)) return runs
      await sleep(50)
    }
    throw new Error(`never read to its end: ${JSON.stringify(runs.slice(-3))}`)
  }

  const NEW = ['NEW-0', 'NEW-1', 'NEW-2', 'NEW-3', 'NEW-4']

  it('a reader from 0 gets exactly the new records, although no reader was at the tail', async () => {
    const topic = freshTopic('recreated')
    await stage.cluster.createTopic(topic, 1)
    await write(topic, ['old-0', 'old-1', 'old-2'])
    expect((await castellan.read(topic, 0, 3)).size).to.equal(3)
    await recreateTopic(stage.cluster, topic)
    await write(topic, NEW)
    const runs = await readFromStart(topic, values => values.includes('NEW-4'))
    for (const values of runs) {
      const lives = new Set(values.map(value => value.slice(0, 3)))
      expect([...lives], `one reading, of two logs: ${values}`).to.have.length.at.most(1)
    }
    expect(runs.at(-1)).to.deep.equal(NEW)
    expect((await readFromStart(topic, values => values.length >= 5)).at(-1), 'and from the cache').to.deep.equal(NEW)
  })

  it('what is cached is not served longer than the documented time when no broker reports the deletion', async () => {
    const topic = freshTopic('aged')
    await stage.cluster.createTopic(topic, 1)
    await write(topic, ['old-0', 'old-1', 'old-2'])
    expect((await castellan.read(topic, 0, 3)).size).to.equal(3)
    await recreateTopic(stage.cluster, topic)
    await write(topic, NEW)
    await sleep(3 * MAX_AGE_MS)
    expect((await readFromStart(topic, values => values.length >= 5)).at(-1)).to.deep.equal(NEW)
    expect(await castellan.readAll(topic, 0)).to.have.length(5)
  })

  it('what was cached before a leader moved is asked for again', async () => {
    const topic = freshTopic('led')
    await stage.cluster.createTopic(topic, 1)
    await write(topic, ['a', 'b', 'c'])
    expect((await castellan.read(topic, 0, 3)).size).to.equal(3)
    const leader = await stage.cluster.leaderOf(topic, 0)
    await stage.cluster.moveLeader(topic, 0, stage.cluster.nodeIds.find(nodeId => nodeId !== leader)!)
    await write(topic, ['d'])
    const read = await castellan.read(topic, 0, 4)
    expect([...read.values()].map(({ value }) => String(value))).to.deep.equal(['a', 'b', 'c', 'd'])
  })
})
