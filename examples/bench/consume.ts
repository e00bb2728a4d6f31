import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { ConsumeReport, ConsumeRun } from './tools/consume-clients.js'
import { startInProcess } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'

const PARTITIONS = 4
const MESSAGES = 100_000
const WARM_UP = 20_000
const TIMEOUT_MS = 300_000
const RECORDS_PER_CALL = 1_000
const value = Buffer.alloc(1024, 'x')
/** Each with the way of kafkajs that it is compared with. */
const works = [
  ['run', 'eachMessage'],
  ['for-await', 'eachMessage'],
  ['batches', 'eachBatch'],
  ['stream', 'eachMessage']
] as const

/**
 * CPU of a client for each message of 1 KiB that it reads in a group: the loops of the library, kafkajs, and the stream of
 * `@platformatic/kafka`. Each reads the same messages, in a process and a group of its own, in turn.
 */
export async function consume({ rounds, only, brokers }: BenchOptions): Promise<readonly Row[]> {
  const broker = brokers === undefined ? await startBroker({ topics: [], retentionBytes: 2 ** 30 }) : undefined
  const bootstrap = brokers ?? broker!.bootstrap
  const topic = `consume-${process.pid}`
  try {
    await fill(bootstrap, topic)
    const wanted = works.filter(([work]) => only?.includes(work) ?? true)
    const all = [...new Set(wanted.flat())]
    const measured = new Map(all.map(way => [way, [] as number[]]))
    for (let round = 0; round < rounds; round++) {
      for (const way of all) {
        const group = `${topic}-${way}-${round}`
        const run: ConsumeRun = { way, bootstrap, topic, group, messages: MESSAGES, warmUp: WARM_UP }
        measured.get(way)!.push(await measure(run))
      }
    }
    return all.map(way => {
      const against = wanted.find(([work]) => work === way)?.[1]
      const own = measured.get(way)!
      const row: Row = { work: way, value: median(own), unit: 'CPU µs/message' }
      // The median over the rounds: what disturbs the machine for a round disturbs both.
      return against === undefined
        ? row
        : { ...row, against, ratio: median(own.map((cpu, round) => measured.get(against)![round]! / cpu)) }
    })
  } finally {
    await broker?.stop()
  }
}

async function measure(run: ConsumeRun): Promise<number> {
  const { child } = await Child.start('./consume-clients.ts')
  try {
    const { cpuMicros, counted } = await child.ask<ConsumeReport>('run', run, TIMEOUT_MS)
    return cpuMicros / counted
  } finally {
    await child.stop()
  }
}

async function fill(brokers: string, topic: string): Promise<void> {
  const castellan = await startInProcess({ brokers })
  await castellan.admin.createTopic([{ name: topic, partitions: PARTITIONS }])
  for (let written = 0; written < MESSAGES; written += RECORDS_PER_CALL) {
    const records = Array.from({ length: RECORDS_PER_CALL }, (_, at) => ({ topic, partition: at % PARTITIONS, value }))
    await castellan.produceOrThrow(records)
  }
  await castellan.close()
}
