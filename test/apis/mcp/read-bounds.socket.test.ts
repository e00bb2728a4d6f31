import { expect } from 'chai'
import { MIB } from '../../../src/core/bytes.js'
import type { KafkaRecord, Offset } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { AdminVerbs, FollowOptions, FollowSink, ReadSubscription } from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { McpPlay } from './play.js'

const TOPIC = 'orders'
const READ_BYTES = 16 * MIB

interface Topic {
  readonly partitions: number
  /** Records of each partition; each one is in a batch of its own. */
  readonly records: number
  readonly batchBytes: number
  readonly valueBytes: number
}

/** A topic whose batches are counted when they are read. */
class CountedVerbs extends FakeVerbs {
  readonly #topic: Topic
  readBytes = 0
  readonly read = new Set<number>()

  constructor(topic: Topic) {
    super()
    this.#topic = topic
    this.partitions.set(TOPIC, topic.partitions)
    const logEnds = async (all: readonly unknown[]) => all.map(() => ({ start: 0, end: topic.records }))
    this.admin = { ...this.admin, logEnds } as unknown as AdminVerbs
  }

  override async follow(_topic?: string, options?: FollowOptions, sink?: FollowSink): Promise<ReadSubscription> {
    const positions = new Map(options!.positions)
    sink!.begins(positions)
    let isStopped = false
    const stop = () => void (isStopped = true)
    for (const partition of options!.partitions!) this.#hand(partition, positions, sink!, () => isStopped)
    return { resume: () => undefined, stop }
  }

  /** Hands on one batch in each turn of the loop, as answers of Kafka come. */
  #hand(partition: number, positions: Map<number, Offset>, sink: FollowSink, isStopped: () => boolean): void {
    setImmediate(() => {
      const offset = positions.get(partition)!
      if (isStopped() || offset >= this.#topic.records) return
      this.readBytes += this.#topic.batchBytes
      this.read.add(partition)
      sink.batchRead?.(this.#topic.batchBytes)
      if (sink.isFull) return
      positions.set(partition, offset + 1)
      sink.take(partition, this.#record(offset))
      sink.flush()
      if (!sink.isFull) this.#hand(partition, positions, sink, isStopped)
    })
  }

  #record(offset: Offset): KafkaRecord {
    return { offset, timestampMs: 0, key: null, value: Buffer.alloc(this.#topic.valueBytes, 97), headers: [] }
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, nth) => from + nth)

interface Answer {
  readonly records: readonly { readonly partition: number; readonly offset: number }[]
  readonly next: Readonly<Record<string, number>>
  readonly at_end: boolean
  readonly truncated?: boolean
  readonly partitions_not_read?: readonly number[]
}

describe('the bytes that read_messages reads', () => {
  let play: McpPlay | undefined
  afterEach(async () => {
    await play?.close()
    play = undefined
  })

  async function open(topic: Topic, given = {}) {
    const verbs = new CountedVerbs(topic)
    const opened = (play = await McpPlay.open(verbs, given))
    const read = async (args: object): Promise<Answer> => {
      const { structuredContent } = await opened.call('read_messages', { topic: TOPIC, ...args })
      return structuredContent as unknown as Answer
    }
    return { verbs, read }
  }

  for (const from of ['latest', 'earliest'])
    for (const partitions of [1, 16, 64])
      for (const count of [1, 100])
        it(`are 16 MiB and a batch at most: ${count} from ${from} of ${partitions} partitions`, async () => {
          for (const valueBytes of [10, MIB]) {
            const { verbs, read } = await open({ partitions, records: 20, batchBytes: MIB, valueBytes })
            const { records, truncated } = await read({ from, count, max_bytes: 131_072 })
            expect(verbs.readBytes).to.be.below(READ_BYTES + MIB)
            expect(records).not.to.be.empty
            const isAll = count === 1 && (from === 'earliest' || partitions * MIB <= READ_BYTES)
            if (valueBytes < MIB) expect(truncated).to.equal(isAll ? undefined : true)
            await play!.close()
            play = undefined
          }
        })

  it('are divided by partitions first, and what is left goes round', async () => {
    const { verbs, read } = await open({ partitions: 4, records: 20, batchBytes: MIB, valueBytes: 10 })
    const { records, next, truncated } = await read({ count: 100 })
    expect(verbs.readBytes).to.equal(READ_BYTES)
    const last = [16, 17, 18, 19]
    expect(records.map(({ partition, offset }) => [partition, offset])).to.deep.equal(
      [0, 1, 2, 3].flatMap(partition => last.map(offset => [partition, offset]))
    )
    expect([next, truncated]).to.deep.equal([{ 0: 20, 1: 20, 2: 20, 3: 20 }, true])
  })

  it('do not suffice for all partitions: those that were not read are named, with where they would begin', async () => {
    const { verbs, read } = await open({ partitions: 20, records: 5, batchBytes: MIB, valueBytes: 10 })
    const { records, next, ...rest } = await read({ count: 40 })
    const [seen, unseen] = [range(0, 16), range(16, 20)]
    expect([...verbs.read]).to.deep.equal(seen)
    expect(records.map(({ partition, offset }) => [partition, offset])).to.deep.equal(seen.map(one => [one, 4]))
    expect(rest).to.deep.equal({ topic: TOPIC, at_end: false, truncated: true, partitions_not_read: unseen })
    for (const one of seen) expect(next[one]).to.equal(5)
    for (const one of unseen) expect(next[one]).to.equal(3)
    const others = await read({ offsets: Object.fromEntries(unseen.map(one => [one, next[one]])) })
    expect(others.records.map(({ partition, offset }) => [partition, offset])).to.deep.equal(
      unseen.flatMap(one => [3, 4].map(offset => [one, offset]))
    )
    expect(others).to.include({ at_end: true }).and.not.have.property('truncated')
  })

  it('end a page from the beginning, too, and the next page goes on: each record once', async () => {
    const { read } = await open({ partitions: 3, records: 15, batchBytes: MIB, valueBytes: 10 })
    const seen: string[] = []
    let offsets: object = {}
    for (let isAtEnd = false; !isAtEnd; ) {
      const page = await read({ from: 'earliest', offsets, count: 100 })
      seen.push(...page.records.map(({ partition, offset }) => `${partition}/${offset}`))
      expect(page.truncated).to.equal(page.at_end ? undefined : true)
      isAtEnd = page.at_end
      offsets = page.next
    }
    const all = [0, 1, 2].flatMap(partition => Array.from({ length: 15 }, (_, offset) => `${partition}/${offset}`))
    expect(seen.toSorted()).to.deep.equal(all.toSorted())
    expect(seen).to.have.length(45)
  })

  it('have memory in the budget of answers before they are read, and give it back', async () => {
    const records = new RecordBudget(40 * MIB, () => 0)
    const { verbs, read } = await open({ partitions: 1, records: 20, batchBytes: MIB, valueBytes: MIB }, { records })
    const held: number[] = []
    const follow = verbs.follow.bind(verbs)
    verbs.follow = (...asked) => {
      held.push(records.heldBytes)
      return follow(...asked)
    }
    await read({ count: 100 })
    expect(Math.min(...held)).to.be.at.least(2 * MIB)
    expect(Math.max(...held)).to.be.below(4 * MIB)
    while (records.heldBytes > 0) await new Promise(setImmediate)
  })
})
