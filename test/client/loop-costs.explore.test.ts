import { Session } from 'node:inspector/promises'
import { expect } from 'chai'
import { startBroker } from '../../examples/bench/tools/broker.js'
import { type Castellan, openCastellan } from '../../src/client.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'

/** Of a topic. */
const MESSAGES = 30
const [FEW, MANY] = [20, 400]
/** A message of many topics, or the start of one of them, may take so many times the calls of one of few. */
const MOST = 1.5

type Loop = ReturnType<Castellan['consume']>
/** @param onMessages resolves to true: it is enough */
type Way = (loop: Loop, onMessages: (count: number) => Promise<boolean>) => Promise<void>

const ways: Readonly<Record<string, Way>> = {
  'for await': async (loop, onMessages) => {
    for await (const message of loop) {
      message.ack()
      if (await onMessages(1)) return
    }
  },
  run: (loop, onMessages) =>
    loop.run(
      async () => {
        if (await onMessages(1)) void loop.return?.()
      },
      { concurrency: 8 }
    ),
  batches: async (loop, onMessages) => {
    for await (const batch of loop.batches()) {
      batch.ack()
      if (await onMessages(batch.length)) return
    }
  }
}

/** Counts the calls of functions of src. */
class Calls {
  readonly #session = new Session()

  async begin(): Promise<void> {
    this.#session.connect()
    await this.#session.post('Profiler.enable')
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  }

  /** Those since it was asked last. */
  async take(): Promise<number> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage')
    const functions = result.filter(({ url }) => url.includes('/src/')).flatMap(script => script.functions)
    return functions.reduce((sum, { ranges }) => sum + (ranges[0]?.count ?? 0), 0)
  }

  end(): void {
    this.#session.disconnect()
  }
}

interface Counted {
  readonly ofStart: number
  readonly ofMessage: number
}

/** Calls of a topic until the first message, and of a message when all topics have given some. */
async function countedIn(way: Way, topics: number): Promise<Counted> {
  const names = Array.from({ length: topics }, (_, at) => `topic-${at}`)
  const broker = await startBroker({ topics: names.map(topic => ({ topic, partitions: 1 })) })
  const castellan = await openCastellan({ brokers: [broker.bootstrap] })
  const calls = new Calls()
  try {
    const all = topics * MESSAGES
    const records = Array.from({ length: all }, (_, at) => ({ topic: names[at % topics]!, value: `${at}` }))
    await castellan.produceOrThrow(records, { deadlineMs: 60_000 })
    const third = Math.floor(all / 3)
    let [count, ofStart, ofMessage] = [0, 0, 0]
    await calls.begin()
    await calls.take()
    await way(castellan.consume({ group: 'g', topics: names, start: 'earliest' }), async messages => {
      const before = count
      count += messages
      const passes = (place: number): boolean => before < place && count >= place
      if (before === 0) ofStart = (await calls.take()) / topics
      if (passes(third)) await calls.take()
      if (passes(2 * third)) ofMessage = (await calls.take()) / third
      return count >= 2 * third
    })
    return { ofStart, ofMessage }
  } finally {
    calls.end()
    await castellan.close({ timeoutMs: 0 })
    await broker.stop()
  }
}

describe('what a loop of the library costs, by the calls of its functions', function () {
  this.timeout(120_000)

  for (const [name, way] of Object.entries(ways)) {
    it(`is the same for each message, and each topic at the start, however many topics it has: ${name}`, async () => {
      const [few, many] = [await countedIn(way, FEW), await countedIn(way, MANY)]
      expect(many.ofMessage, `${name}: ${JSON.stringify({ few, many })}`).to.be.within(1, MOST * few.ofMessage)
      expect(many.ofStart, `${name}: ${JSON.stringify({ few, many })}`).to.be.within(1, MOST * few.ofStart)
    })
  }

  it('asks Kafka for all topics at once until the first message', async () => {
    const asked = async (topics: number): Promise<object> => {
      const cluster = await startEmbeddedCluster({ nodes: 1 })
      const names = Array.from({ length: topics }, (_, at) => `topic-${at}`)
      for (const name of names) cluster.createTopic(name, { partitions: 1 })
      const castellan = await openCastellan({ brokers: [cluster.bootstrap] })
      await castellan.produceOrThrow(names.map(topic => ({ topic, value: 'v' })))
      const apis = ['FindCoordinator', 'JoinGroup', 'SyncGroup', 'OffsetFetch', 'ListOffsets', 'Fetch'] as const
      const counts = () => Object.fromEntries(apis.map(api => [api, cluster.requestCount(api)]))
      for await (const _ of castellan.consume({ group: 'g', topics: names, start: 'earliest' })) break
      const all = counts()
      await castellan.close({ timeoutMs: 0 })
      await cluster.close()
      return all
    }
    expect(await asked(300)).to.deep.equal(await asked(1))
  })
})
