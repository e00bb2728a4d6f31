import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { COUNTED_HEAP, countHeap, type HeapCensus, heapRows } from './tools/heap-census.js'
import type { BenchOptions } from './tools/options.js'
import type { FirstRecords, ProduceReport, ProduceRun } from './tools/produce-clients.js'
import { median, type Row } from './tools/report.js'

const TOPIC = 'produce'
const WARM_UP_MS = 500
/** The heap with as many topics is compared with that of twice as many. */
const COUNTED_TOPICS = 2_000
const SETTLE_MS = 1_500

type Load = Pick<
  ProduceRun,
  'topics' | 'partitions' | 'recordBytes' | 'recordsPerCall' | 'callsInFlight' | 'inTransactions' | 'asProgram'
>

const USUAL: Load = { topics: 1, partitions: 4, recordBytes: 1024, recordsPerCall: 1000, callsInFlight: 10 }
/** One call of `castellan.produce` after another: what a transaction does as well, but for its beginning and its end. */
const LONE: Load = { ...USUAL, callsInFlight: 1, asProgram: true }
const TRANSACTIONS: Load = { ...LONE, inTransactions: true }
/** As many bytes in a call, and in flight. */
const SMALLER: Load = { ...USUAL, recordBytes: 100_000, recordsPerCall: 10 }
const LARGE: Load = { ...USUAL, recordBytes: 1_000_000, recordsPerCall: 1 }
/** One record of each topic is in flight: a call has its own topics, in an order that is drawn anew each time. */
const manyTopics = (topics: number): Load => ({ ...USUAL, topics, partitions: 1, callsInFlight: topics / 1000 })
/** 10,000 records in flight in one partition: with twice as many, some are refused, because a partition has a limit of its own. */
const ONE_TOPIC: Load = { ...manyTopics(10_000), topics: 1 }

/**
 * Produce through Router and delivery in process: the records, and the loads that they are compared with in turn. Acks all, the
 * embedded broker in a process of its own.
 */
export async function produce({ seconds, rounds, only, list }: BenchOptions): Promise<readonly Row[]> {
  const compare = async (work: string, mine: Measured, theirs: Measured, rowsOf: RowsOf): Promise<readonly Row[]> => {
    if (only && !only.includes(work)) return []
    const reports: [ProduceReport[], ProduceReport[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      reports[1].push(await measure(theirs, seconds))
      reports[0].push(await measure(mine, seconds))
    }
    return rowsOf(figures(reports[0], mine.load), figures(reports[1], theirs.load))
  }
  const ours = (load: Load): Measured => ({ client: 'castellan', load })
  return [
    ...(await compare('produce', ours(USUAL), { client: 'kafkajs', load: USUAL }, besideKafkajs)),
    ...(await compare('transactions', ours(TRANSACTIONS), ours(LONE), perRecord('transactions', 'produce-1'))),
    ...(await compare(
      'transactions-rate',
      ours(TRANSACTIONS),
      { client: 'kafkajs', load: TRANSACTIONS },
      besideTransactions
    )),
    ...(await compare('records-1MB', ours(LARGE), ours(SMALLER), perByte)),
    ...(await compare('topics-10000', ours(manyTopics(10_000)), ours(ONE_TOPIC), perRecord('topics-10000'))),
    ...(await compare('topics-20000', ours(manyTopics(20_000)), ours(ONE_TOPIC), perRecord('topics-20000'))),
    ...((only?.includes('topic') ?? true) ? await countTopics(list === 'topic') : [])
  ]
}

/** What a topic of one partition keeps on the heap once a record was written to it: `--only topic`, `--list topic`. */
async function countTopics(isListed: boolean): Promise<readonly Row[]> {
  const names = Array.from({ length: 2 * COUNTED_TOPICS }, (_, at) => `${TOPIC}-${at}`)
  const broker = await startBroker({ topics: names.map(topic => ({ topic, partitions: 1 })) })
  const { child } = await Child.start('./produce-clients.ts', {}, [], process.execPath, COUNTED_HEAP)
  try {
    const counted: HeapCensus[] = []
    for (const topics of [names.slice(0, COUNTED_TOPICS), names.slice(COUNTED_TOPICS)]) {
      await child.ask('writeFirst', { bootstrap: broker.bootstrap, topics } satisfies FirstRecords)
      await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
      counted.push(await countHeap(child.pid))
    }
    return heapRows('topic', [counted[0]!, counted[1]!], COUNTED_TOPICS, isListed)
  } finally {
    await child.stop()
    await broker.stop()
  }
}

interface Measured {
  readonly client: ProduceRun['client']
  readonly load: Load
}

/** A fresh broker and client for each window, so that no run is affected by what an earlier one left behind. */
async function measure({ client, load }: Measured, seconds: number): Promise<ProduceReport> {
  const { topics, partitions } = load
  const broker = await startBroker({
    topics: Array.from({ length: topics }, (_, at) => ({ topic: `${TOPIC}-${at}`, partitions }))
  })
  const { child } = await Child.start('./produce-clients.ts')
  try {
    const run: ProduceRun = {
      client,
      bootstrap: broker.bootstrap,
      topic: TOPIC,
      ...load,
      warmUpMs: WARM_UP_MS,
      measureMs: seconds * 1000
    }
    const report = await child.ask<ProduceReport>('run', run)
    const found = await broker.recordsInAll()
    // A marker ends each transaction in each partition.
    if (load.inTransactions ? found < report.acknowledgedInAll : found !== report.acknowledgedInAll) {
      throw new Error(`${client}: ${report.acknowledgedInAll} records acknowledged, ${found} in the log`)
    }
    return report
  } finally {
    await child.stop()
    await broker.stop()
  }
}

const figures = (reports: readonly ProduceReport[], { recordsPerCall, recordBytes }: Load) => {
  const cpuUsPerRecord = median(reports.map(({ cpuMicros, counted }) => cpuMicros / counted))
  return {
    recordsPerSecond: median(reports.map(({ counted, seconds }) => counted / seconds)),
    cpuUsPerRecord,
    cpuUsPerRequest: cpuUsPerRecord * recordsPerCall,
    cpuUsPerMb: (cpuUsPerRecord / recordBytes) * 1e6,
    longestTickMs: Math.max(...reports.map(({ longestTickMs }) => longestTickMs)),
    garbageBytes: median(reports.map(({ allocatedBytes, counted }) => allocatedBytes / counted)),
    rssMb: median(reports.map(({ rssBytes }) => rssBytes)) / 1e6
  }
}
type Figures = ReturnType<typeof figures>
type RowsOf = (ours: Figures, theirs: Figures) => readonly Row[]

const inRecords = (work: string, { recordsPerSecond, cpuUsPerRequest, rssMb }: Figures): Row => ({
  work,
  value: recordsPerSecond,
  unit: 'records/s',
  recordsPerSecond,
  cpuUsPerRequest,
  rssMb
})

const beside =
  (against: string, work: string): RowsOf =>
  (ours, theirs) => [
    inRecords(against, theirs),
    {
      ...inRecords(work, ours),
      ratio: ours.recordsPerSecond / theirs.recordsPerSecond,
      against,
      note: `${(theirs.cpuUsPerRecord / ours.cpuUsPerRecord).toFixed(1)} × in CPU per record`
    }
  ]
const besideKafkajs = beside('kafkajs sendBatch', 'produce')
const besideTransactions = beside('kafkajs transaction', 'transactions-rate')

const perByte: RowsOf = (ours, theirs) => {
  const toRow = (work: string, { cpuUsPerMb, cpuUsPerRequest, rssMb }: Figures): Row => ({
    work,
    value: cpuUsPerMb,
    unit: 'CPU µs/MB',
    cpuUsPerRequest,
    rssMb
  })
  return [
    toRow('records-100kB', theirs),
    {
      ...toRow('records-1MB', ours),
      ratio: theirs.cpuUsPerMb / ours.cpuUsPerMb,
      against: 'records-100kB',
      note: `${(ours.cpuUsPerMb / theirs.cpuUsPerMb).toFixed(2)} × the CPU per byte`
    }
  ]
}

const perRecord =
  (work: string, against = `${work}-beside-1`): RowsOf =>
  (ours, theirs) => {
    const toRow = (name: string, { cpuUsPerRecord, rssMb, longestTickMs, garbageBytes }: Figures): Row => ({
      work: name,
      value: cpuUsPerRecord,
      unit: 'CPU µs/record',
      ...(longestTickMs > 0 && { longestTickMs }),
      garbageBytes,
      rssMb
    })
    return [
      toRow(against, theirs),
      {
        ...toRow(work, ours),
        ratio: theirs.cpuUsPerRecord / ours.cpuUsPerRecord,
        against,
        note: `${(ours.cpuUsPerRecord / theirs.cpuUsPerRecord).toFixed(1)} × the CPU per record`
      }
    ]
  }
