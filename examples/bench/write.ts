import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { startInProcess } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import type { WriteReport, WriteRun } from './tools/write-clients.js'

const PARTITIONS = 4
const WARM_UP_MS = 1_000
/** The number of topics to each of which a call writes one record. */
const works = { 'one-by-one': 1, 'topics-100': 100, 'topics-1000': 1_000 } as const
type Work = keyof typeof works
/** So many topics take a Kafka of three nodes minutes. */
const EMBEDDED_ONLY: Work = 'topics-1000'
const ways = ['castellan', 'platformatic', 'kafkajs'] as const
type Way = (typeof ways)[number]

/**
 * CPU of a client for each record of 1 KiB that it writes, one call after another, each when the last one is in Kafka: the
 * library, `@platformatic/kafka` and kafkajs, each in a process of its own, in turn.
 */
export async function write({ seconds, rounds, only, brokers }: BenchOptions): Promise<readonly Row[]> {
  const wanted = (Object.keys(works) as Work[]).filter(
    work => only?.includes(work) ?? (brokers === undefined || work !== EMBEDDED_ONLY)
  )
  const rows: Row[] = []
  for (const work of wanted) rows.push(...(await compare(work, seconds, rounds, brokers)))
  return rows
}

async function compare(
  work: Work,
  seconds: number,
  rounds: number,
  brokers: string | undefined
): Promise<readonly Row[]> {
  const topics = Array.from({ length: works[work] }, (_, at) => `write-${process.pid}-${work}-${at}`)
  const broker = await startBrokerWith(topics, brokers)
  const measured: Record<Way, WriteReport[]> = { castellan: [], platformatic: [], kafkajs: [] }
  try {
    for (let round = 0; round < rounds; round++) {
      for (const way of ways) {
        const bootstrap = broker?.bootstrap ?? brokers!
        const run = { way, bootstrap, topics, warmUpMs: WARM_UP_MS, measureMs: seconds * 1000 }
        measured[way].push(await measure(run))
      }
    }
    const found = await broker?.recordsInAll()
    const acknowledged = ways.flatMap(way => measured[way]).reduce((sum, one) => sum + one.acknowledgedInAll, 0)
    if (found !== undefined && found !== acknowledged)
      throw new Error(`${work}: ${acknowledged} records acknowledged, ${found} in the log`)
  } finally {
    await broker?.stop()
  }
  const cpuOf = (way: Way): readonly number[] => measured[way].map(({ cpuMicros, counted }) => cpuMicros / counted)
  // The median over the rounds: what disturbs the machine for a round disturbs all.
  const ratioTo = (against: Way): number => median(cpuOf('castellan').map((own, round) => cpuOf(against)[round]! / own))
  return ways.map(way => ({
    work: `${work} ${way}`,
    value: median(cpuOf(way)),
    unit: 'CPU µs/record',
    recordsPerSecond: median(measured[way].map(({ counted, seconds }) => counted / seconds)),
    ...(way === 'castellan' && {
      ratio: ratioTo('platformatic'),
      against: 'platformatic',
      note: `${ratioTo('kafkajs').toFixed(2)} to kafkajs`
    })
  }))
}

async function startBrokerWith(topics: readonly string[], brokers: string | undefined) {
  const partitions = PARTITIONS
  if (brokers === undefined) return startBroker({ topics: topics.map(topic => ({ topic, partitions })) })
  const castellan = await startInProcess({ brokers })
  await castellan.admin.createTopic(topics.map(name => ({ name, partitions })))
  await castellan.close()
  return undefined
}

async function measure(run: WriteRun): Promise<WriteReport> {
  const { child } = await Child.start('./write-clients.ts')
  try {
    return await child.ask<WriteReport>('run', run)
  } finally {
    await child.stop()
  }
}
