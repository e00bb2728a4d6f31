import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Castellan, openCastellan, type ReadOptions } from '../../../src/index.js'
import { onCluster } from '../../support/stage.js'
import { recreateTopic } from '../../support/target-cluster.js'

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}-${at}`)

describe('castellan.read', () => {
  const stage = onCluster(true)
  let castellan: Castellan
  let topic: string
  beforeEach(async () => {
    castellan = await stage.library({ delivery: { createTopics: false } })
    topic = await stage.topic('streamed')
  })

  async function write(values: readonly string[], partition = 0): Promise<void> {
    await castellan.produceOrThrow(values.map(value => ({ topic, partition, value })))
  }

  /** By a process of its own, as soon as that knows the partition: the reader has to find it by itself. */
  async function writeElsewhere(values: readonly string[], partition: number): Promise<void> {
    const records = values.map(value => ({ topic, partition, key: null, value }))
    for (let attempt = 0; ; attempt++) {
      const other = await openCastellan({ brokers: stage.bootstrap, delivery: { createTopics: false } })
      try {
        const outcomes = await other.produce(records)
        if (outcomes.every(({ type }) => type === 'delivered')) return
        // A broker that lags denies the partition to all of them.
        const isDenied = outcomes.every(outcome => outcome.type === 'failed' && outcome.code === 'unknownPartition')
        if (!isDenied || attempt === 20) expect.fail(JSON.stringify(outcomes))
      } finally {
        await other.close({ timeoutMs: 0 })
      }
      await sleep(100)
    }
  }

  /** Resolves when records are asked for: by then a reader knows the topic and where it begins. */
  function recordsAreAskedFor(): Promise<void> {
    const { ref } = castellan.router
    const tell = ref.tell.bind(ref)
    return new Promise(resolve => {
      ref.tell = message => {
        if (message.type === 'fetchData') resolve()
        tell(message)
      }
    })
  }

  async function read(options: ReadOptions, values: string[] = []): Promise<string[]> {
    for await (const { value } of castellan.read(topic, options)) values.push(String(value))
    return values
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
      const hasBegun = recordsAreAskedFor()
      const reading = read({ follow: true, signal: controller.signal, onWarning }, values)
      await (before > 0 ? until(() => values.length === before) : hasBegun)
      await recreateTopic(stage.cluster, topic)
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

  for (const from of ['earliest', 'latest'] as const) {
    it(`reads partitions that are added from their first records, having begun at the ${from}`, async () => {
      await write(['before'])
      const values: string[] = []
      const controller = new AbortController()
      const hasBegun = recordsAreAskedFor()
      const reading = read({ from, follow: true, signal: controller.signal }, values)
      await (from === 'earliest' ? until(() => values.length === 1) : hasBegun)
      await stage.cluster.growTopic(topic, 3)
      const added = numbered('added', 20)
      await writeElsewhere(added, 2)
      await writeElsewhere(['idle for long'], 1)
      await until(() => values.includes('added-19') && values.includes('idle for long'))
      controller.abort()
      await reading
      expect(values.filter(value => value.startsWith('added'))).to.deep.equal(added)
      expect(values.filter(value => !value.startsWith('added'))).to.have.members([
        ...(from === 'earliest' ? ['before'] : []),
        'idle for long'
      ])
    })
  }

  it('reads each record of a topic created anew with more partitions once', async () => {
    await write(['old'])
    const values: string[] = []
    const controller = new AbortController()
    const reading = read({ follow: true, signal: controller.signal }, values)
    await until(() => values.length === 1)
    await recreateTopic(stage.cluster, topic, 3)
    const recent = [0, 1, 2].map(partition => numbered(`new${partition}`, 5))
    for (const [partition, of] of recent.entries()) await writeElsewhere(of, partition)
    await until(() => values.length >= 16)
    // What would be read twice comes within the next long poll.
    await sleep(500)
    controller.abort()
    await reading
    expect(values).to.have.members(['old', ...recent.flat()])
    for (const [partition, of] of recent.entries())
      expect(values.filter(value => value.startsWith(`new${partition}`))).to.deep.equal(of)
  })

  it('goes on with the partitions that are left when a topic is created anew with fewer, and with later ones', async () => {
    await stage.cluster.growTopic(topic, 3)
    await write(['old0'])
    await writeElsewhere(['old2'], 2)
    const values: string[] = []
    const warnings: string[] = []
    const controller = new AbortController()
    const onWarning = (text: string): void => void warnings.push(text)
    const reading = read({ follow: true, signal: controller.signal, onWarning }, values)
    await until(() => values.length === 2)
    await recreateTopic(stage.cluster, topic, 1)
    await writeElsewhere(['new0'], 0)
    await until(() => warnings.includes(`${topic}/2 is gone: ${topic} has 1 partition now`))
    await write(['later'])
    await until(() => values.includes('later'))
    await stage.cluster.growTopic(topic, 3)
    await writeElsewhere(['new2'], 2)
    await until(() => values.includes('new2'))
    controller.abort()
    await reading
    expect(values).to.have.members(['old0', 'old2', 'new0', 'later', 'new2'])
    expect(warnings).to.include(`${topic}/2 is gone: ${topic} has 1 partition now`)
  })

  it('reads the partitions that were named, and none that is added', async () => {
    const values: string[] = []
    const controller = new AbortController()
    const reading = read({ follow: true, partitions: [0], signal: controller.signal }, values)
    await stage.cluster.growTopic(topic, 2)
    await writeElsewhere(['added'], 1)
    const all: string[] = []
    const other = read({ follow: true, signal: controller.signal }, all)
    await write(['first'])
    await until(() => values.includes('first') && all.length === 2)
    controller.abort()
    await Promise.all([reading, other])
    expect(values).to.deep.equal(['first'])
  })

  it('reads all records that were acknowledged before, while leaders move', async () => {
    const written: string[] = []
    for (let round = 0; round < 6; round++) {
      const values = numbered(`round${round}`, 50)
      await write(values)
      written.push(...values)
      const leader = await stage.cluster.leaderOf(topic, 0)
      const next = stage.cluster.nodeIds[(stage.cluster.nodeIds.indexOf(leader) + 1) % stage.cluster.nodeIds.length]!
      const moving = stage.cluster.moveLeader(topic, 0, next)
      const [during] = await Promise.all([read({}), moving])
      expect(during).to.deep.equal(written)
      expect(await read({})).to.deep.equal(written)
    }
  })
})
