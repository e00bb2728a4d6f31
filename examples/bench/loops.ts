import type { Castellan } from 'castellan'
import { startBroker } from './tools/broker.js'
import { startInProcess } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'

const TOPICS = 1_000
/** Messages of a window, those of all topics together. */
const MESSAGES = 20_000
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
  const many = Array.from({ length: TOPICS }, (_, at) => `many-${at}`)
  const topics = ['one', ...many].map(topic => ({ topic, partitions: 1 }))
  const broker = await startBroker({ topics })
  const castellan = await startInProcess({ brokers: broker.bootstrap, consumer: { start: 'earliest' } })
  try {
    for (const names of [['one'], many]) {
      const records = Array.from({ length: MESSAGES }, (_, at) => ({
        topic: names[at % names.length]!,
        value: `${at}`
      }))
      await castellan.produceOrThrow(records, { deadlineMs: 60_000 })
    }
    const rows: Row[] = []
    for (const [name, way] of Object.entries(ways)) {
      if (only?.includes(name) === false) continue
      const figures: Figure[] = []
      for (let round = 0; round < rounds; round++) {
        const group = `${name}-${round}`
        const ofOne = await consume(castellan, `${group}-one`, ['one'], way)
        const ofMany = await consume(castellan, `${group}-many`, many, way)
        figures.push({ ofOne, ofMany })
      }
      rows.push(...rowsOf(name, figures))
    }
    return rows
  } finally {
    await castellan.close({ timeoutMs: 0 })
    await broker.stop()
  }
}

interface Window {
  readonly cpuUs: number
  readonly firstMs: number
}

interface Figure {
  readonly ofOne: Window
  readonly ofMany: Window
}

/** CPU per message, from the first one on, and the time until the first one. */
async function consume(castellan: Castellan, group: string, topics: readonly string[], way: Way): Promise<Window> {
  const beganAt = performance.now()
  let firstMs = 0
  let before = process.cpuUsage()
  let count = 0
  let cpuUs = 0
  await way(castellan.consume({ group, topics }), messages => {
    if (count === 0) {
      firstMs = performance.now() - beganAt
      before = process.cpuUsage()
    }
    count += messages
    if (count < MESSAGES || cpuUs > 0) return false
    const { user, system } = process.cpuUsage(before)
    cpuUs = (user + system) / MESSAGES
    return true
  })
  return { cpuUs, firstMs }
}

function rowsOf(name: string, figures: readonly Figure[]): Row[] {
  const of = (pick: (figure: Figure) => number): number => median(figures.map(pick))
  return [
    {
      work: `${name}-one`,
      value: of(({ ofOne }) => ofOne.cpuUs),
      unit: 'µs',
      note: firstNote(of(one => one.ofOne.firstMs))
    },
    {
      work: `${name}-many`,
      value: of(({ ofMany }) => ofMany.cpuUs),
      unit: 'µs',
      note: firstNote(of(one => one.ofMany.firstMs))
    },
    {
      work: `${name}-many-to-one`,
      value: of(({ ofOne, ofMany }) => ofMany.cpuUs / ofOne.cpuUs),
      unit: '',
      mostValue: MOST,
      note: `CPU of a message of ${TOPICS} topics, compared with one of a single topic`
    }
  ]
}

const firstNote = (ms: number): string => `first message after ${Math.round(ms)} ms`
