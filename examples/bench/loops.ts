import type { Castellan } from 'castellan'
import { startBroker } from './tools/broker.js'
import { startInProcess } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'

const TOPICS = 1_000
/**
 * Messages of a window, those of all topics together. Two windows tell what each message takes, and what each topic takes once:
 * it is joined and looked up, and read to its end.
 */
const WINDOWS = { few: 20_000, more: 220_000 } as const
/** A message of many topics may take this much longer than one of a single topic. */
const MOST = 1.5

type Loop = ReturnType<Castellan['consume']>
type Way = (loop: Loop, onMessages: (count: number) => boolean) => Promise<void>

const ways: Readonly<Record<string, Way>> = {
  'for-await': async (loop, onMessages) => {
    for await (const message of loop) {
      message.ack()
      if (onMessages(1)) return
    }
  },
  run: (loop, onMessages) =>
    loop.run(
      () => {
        if (onMessages(1)) void loop.return?.()
      },
      { concurrency: 8 }
    ),
  batches: async (loop, onMessages) => {
    for await (const batch of loop.batches()) {
      batch.ack()
      if (onMessages(batch.length)) return
    }
  }
}

/** Compares a message that the library consumes from a thousand topics with one of a single topic, in the same run. */
export async function loops({ rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const sets = (['few', 'more'] as const).map(size => ({
    size,
    one: [`one-${size}`],
    many: Array.from({ length: TOPICS }, (_, at) => `many-${size}-${at}`)
  }))
  const topics = sets.flatMap(({ one, many }) => [...one, ...many]).map(topic => ({ topic, partitions: 1 }))
  const broker = await startBroker({ topics })
  const castellan = await startInProcess({ brokers: broker.bootstrap, consumer: { start: 'earliest' } })
  try {
    for (const { size, one, many } of sets) {
      for (const names of [one, many]) {
        const records = Array.from({ length: WINDOWS[size] }, (_, at) => ({
          topic: names[at % names.length]!,
          value: `${at}`
        }))
        await castellan.produceOrThrow(records, { deadlineMs: 60_000 })
      }
    }
    const rows: Row[] = []
    for (const [name, way] of Object.entries(ways)) {
      if (only?.includes(name) === false) continue
      const figures: Figure[] = []
      for (let round = 0; round < rounds; round++) {
        const windows: Partial<Record<Size, OfSize>> = {}
        for (const { size, one, many } of sets) {
          const group = `${name}-${round}-${size}`
          const ofOne = await consume(castellan, `${group}-one`, one, way, WINDOWS[size])
          windows[size] = { ofOne, ofMany: await consume(castellan, `${group}-many`, many, way, WINDOWS[size]) }
        }
        figures.push(figureOf(windows as Record<Size, OfSize>))
      }
      rows.push(...rowsOf(name, figures))
    }
    return rows
  } finally {
    await castellan.close({ timeoutMs: 0 })
    await broker.stop()
  }
}

type Size = keyof typeof WINDOWS

interface Window {
  readonly cpuUs: number
  readonly firstMs: number
}

interface OfSize {
  readonly ofOne: Window
  readonly ofMany: Window
}

interface Figure {
  /** Of each message. */
  readonly ofOneUs: number
  readonly ofManyUs: number
  readonly ofTopicUs: number
  readonly firstOfOneMs: number
  readonly firstOfManyMs: number
}

/** What a message takes is what a longer window takes more. */
function figureOf({ few, more }: Record<Size, OfSize>): Figure {
  const added = WINDOWS.more - WINDOWS.few
  const ofOneUs = (more.ofOne.cpuUs - few.ofOne.cpuUs) / added
  const ofManyUs = (more.ofMany.cpuUs - few.ofMany.cpuUs) / added
  return {
    ofOneUs,
    ofManyUs,
    ofTopicUs: (few.ofMany.cpuUs - WINDOWS.few * ofManyUs) / TOPICS,
    firstOfOneMs: few.ofOne.firstMs,
    firstOfManyMs: few.ofMany.firstMs
  }
}

/** CPU from the first message on, and the time until that. */
async function consume(
  castellan: Castellan,
  group: string,
  topics: readonly string[],
  way: Way,
  messages: number
): Promise<Window> {
  const beganAt = performance.now()
  let firstMs = 0
  let before = process.cpuUsage()
  let count = 0
  let cpuUs = 0
  await way(castellan.consume({ group, topics }), added => {
    if (count === 0) {
      firstMs = performance.now() - beganAt
      before = process.cpuUsage()
    }
    count += added
    if (count < messages || cpuUs > 0) return false
    const { user, system } = process.cpuUsage(before)
    cpuUs = user + system
    return true
  })
  return { cpuUs, firstMs }
}

function rowsOf(name: string, figures: readonly Figure[]): Row[] {
  const of = (pick: (figure: Figure) => number): number => median(figures.map(pick))
  return [
    { work: `${name}-one`, value: of(one => one.ofOneUs), unit: 'µs', note: firstNote(of(one => one.firstOfOneMs)) },
    { work: `${name}-many`, value: of(one => one.ofManyUs), unit: 'µs', note: firstNote(of(one => one.firstOfManyMs)) },
    {
      work: `${name}-many-to-one`,
      value: of(one => one.ofManyUs / one.ofOneUs),
      unit: '',
      mostValue: MOST,
      note: `CPU of a message of ${TOPICS} topics, compared with one of a single topic`
    },
    {
      work: `${name}-topic`,
      value: of(one => one.ofTopicUs),
      unit: 'µs',
      note: `of each of ${TOPICS} topics, once`
    }
  ]
}

const firstNote = (ms: number): string => `first message after ${Math.round(ms)} ms`
