import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { FetchReport, FetchRun } from './tools/fetch-clients.js'
import type { BenchOptions } from './tools/options.js'
import type { ProduceRun } from './tools/produce-clients.js'
import { median, type Row } from './tools/report.js'
import type {
  CachedReport,
  LatencyReport,
  LatencyRun,
  ReadAllRun,
  ReadReport,
  RouterSetup,
  TailReport,
  TailRun
} from './tools/router-client.js'

const PARTITIONS = 4
const RECORD_BYTES = 1024
// Far more than the cache of the reader under test, so that reading it over and over never finds anything there.
const RECORDS_PER_PARTITION = 60_000
const PARTITION_MAX_BYTES = 1024 * 1024
const RETENTION_BYTES = 256 * 1024 * 1024
const UNCACHED_BYTES = 8 * 1024 * 1024
const WARM_UP_MS = 500
// One batch of one record fits, a second does not: every read brings one.
const LATENCY_MAX_BYTES = 1200
const LATENCY_RECORDS = 1000
const TAIL_EVERY_MS = 5

type Work = (broker: Broker, options: BenchOptions) => Promise<readonly Row[]>

const works: readonly (readonly [string, Work])[] = [
  ['fetch-cached', cached],
  ['tail-10-readers', (broker, options) => tail(broker, 10, options)],
  ['tail-1000-readers', (broker, options) => tail(broker, 1000, options)],
  ['fetch-uncached', uncached],
  ['router-latency', latency]
]

/** The Router in process: answers from the cache, readers at the tail, reading everything, a lone miss. */
export async function router(options: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({
    retentionBytes: RETENTION_BYTES,
    topics: [
      { topic: 'fetch', partitions: PARTITIONS },
      ...['cached', 'tail', 'latency'].map(topic => ({ topic, partitions: 1 }))
    ]
  })
  try {
    await fill(broker)
    const rows: Row[] = []
    for (const [name, work] of works) {
      if (options.only?.includes(name) ?? true) rows.push(...(await work(broker, options)))
    }
    return rows
  } finally {
    await broker.stop()
  }
}

/** Written by a client that is not ours: batches of 250 records, and for the latency of one record each. */
async function fill(broker: Broker): Promise<void> {
  const { child } = await Child.start('./produce-clients.ts')
  const fillTopic = (topic: string, partitions: number, recordsPerCall: number, records: number) =>
    child.ask('fill', {
      client: 'kafkajs',
      bootstrap: broker.bootstrap,
      recordBytes: RECORD_BYTES,
      callsInFlight: 1,
      warmUpMs: 0,
      measureMs: 0,
      topic,
      partitions,
      recordsPerCall,
      records
    } satisfies ProduceRun & { records: number })
  await fillTopic('fetch', PARTITIONS, 1000, PARTITIONS * RECORDS_PER_PARTITION)
  await fillTopic('cached', 1, 250, 1000)
  await fillTopic('latency', 1, 1, LATENCY_RECORDS)
  await child.stop()
}

/** A process of its own for as long as `use` takes. */
async function withChild<Value>(file: string, input: unknown, use: (child: Child) => Promise<Value>): Promise<Value> {
  const { child } = await Child.start(file, input)
  try {
    return await use(child)
  } finally {
    await child.stop()
  }
}

const withRouter = <Value>(setup: RouterSetup, use: (child: Child) => Promise<Value>): Promise<Value> =>
  withChild('./router-client.ts', setup, use)

async function cached({ bootstrap }: Broker, { seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const reports = await withRouter({ bootstrap }, child =>
    repeat(rounds, () =>
      child.ask<CachedReport>('cached', {
        topic: 'cached',
        offsets: 900,
        warmUpMs: WARM_UP_MS,
        measureMs: seconds * 1000
      })
    )
  )
  const answersPerSecond = median(reports.map(({ counted, seconds: taken }) => counted / taken))
  const cpuUsPerRequest = median(reports.map(({ cpuMicros, counted }) => cpuMicros / counted))
  return [{ work: 'fetch-cached', value: answersPerSecond, unit: 'answers/s', answersPerSecond, cpuUsPerRequest }]
}

/** How often the broker is asked must not depend on how many read. */
async function tail(broker: Broker, readers: number, { seconds }: BenchOptions): Promise<readonly Row[]> {
  const run = {
    topic: 'tail',
    readers,
    everyMs: TAIL_EVERY_MS,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1000
  } satisfies TailRun
  return withRouter({ bootstrap: broker.bootstrap }, async child => {
    const before = await broker.requestCount('Fetch')
    const { counted, records, seconds: taken } = await child.ask<TailReport>('tail', run)
    const upstreamFetches = (await broker.requestCount('Fetch')) - before
    const fetchesPerRecord = upstreamFetches / records
    return [
      {
        work: `tail-${readers}-readers`,
        value: upstreamFetches,
        unit: 'upstream fetches',
        upstreamFetches,
        records,
        fetchesPerRecord,
        answersPerSecond: counted / taken,
        note: `${records} records: ${fetchesPerRecord.toFixed(2)} fetches each; ${Math.round(counted / taken)} answers/s`
      }
    ]
  })
}

/** Interleaved: kafkajs, the bare socket and the Router read the same partitions of the same broker. */
async function uncached({ bootstrap }: Broker, { seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const window = { warmUpMs: WARM_UP_MS, measureMs: seconds * 1000 }
  const source = { topic: 'fetch', partitions: PARTITIONS, recordsPerPartition: RECORDS_PER_PARTITION }
  const other = (client: FetchRun['client']) =>
    withChild('./fetch-clients.ts', {}, child =>
      child.ask<FetchReport>('run', {
        ...window,
        ...source,
        client,
        bootstrap,
        partitionMaxBytes: PARTITION_MAX_BYTES
      } satisfies FetchRun)
    )
  const reports: Record<'kafkajs' | 'socket' | 'castellan', ReadReport[]> = { kafkajs: [], socket: [], castellan: [] }
  for (let round = 0; round < rounds; round++) {
    reports.kafkajs.push(await other('kafkajs'))
    reports.socket.push(await other('socket'))
    const settings = { cacheMaxBytes: UNCACHED_BYTES, fetchBufferBytes: PARTITION_MAX_BYTES }
    const read = (child: Child) => child.ask<ReadReport>('readAll', { ...window, ...source } satisfies ReadAllRun)
    reports.castellan.push(await withRouter({ bootstrap, settings }, read))
  }
  const toRow = (work: string, of: readonly ReadReport[]): Row => {
    const megabytesPerSecond = median(of.map(({ counted, seconds: taken }) => counted / taken)) / 1e6
    return {
      work,
      value: megabytesPerSecond,
      unit: 'MB/s',
      recordsPerSecond: (megabytesPerSecond * 1e6) / RECORD_BYTES,
      cpuUsPerRecord: median(of.map(({ cpuMicros, counted }) => (cpuMicros / counted) * RECORD_BYTES)),
      rssMb: median(of.map(({ rssBytes }) => rssBytes)) / 1e6
    }
  }
  const [theirs, socket, ours] = [
    toRow('kafkajs eachBatch', reports.kafkajs),
    toRow('bare socket', reports.socket),
    toRow('fetch-uncached', reports.castellan)
  ]
  const ratioToSocket = ours.value / socket.value
  return [
    theirs,
    socket,
    {
      ...ours,
      ratio: ours.value / theirs.value,
      against: 'kafkajs eachBatch',
      ratioToSocket,
      note: `${ratioToSocket.toFixed(2)} × bare socket`
    }
  ]
}

/** Interleaved as well; the cache is too small to keep what was read. */
async function latency({ bootstrap }: Broker, { seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const settings = { cacheMaxBytes: 1, fetchBufferBytes: LATENCY_MAX_BYTES }
  const run = {
    topic: 'latency',
    records: LATENCY_RECORDS,
    maxBytes: LATENCY_MAX_BYTES,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 500
  } satisfies LatencyRun
  const [bare, routed] = await withRouter({ bootstrap, settings }, async child => {
    const reports: [LatencyReport[], LatencyReport[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      reports[0].push(await child.ask<LatencyReport>('bareLatency', run))
      reports[1].push(await child.ask<LatencyReport>('routerLatency', run))
    }
    return reports
  })
  const toRow = (work: string, reports: readonly LatencyReport[]): Row => {
    const p50Ms = median(reports.map(report => report.p50Ms))
    return { work, value: p50Ms, unit: 'ms', p50Ms, p99Ms: median(reports.map(report => report.p99Ms)) }
  }
  const theirs = toRow('bare fetch', bare)
  const ours = toRow('router-latency', routed)
  return [theirs, { ...ours, ratio: theirs.value / ours.value, against: 'bare fetch' }]
}

async function repeat<Value>(times: number, measure: () => Promise<Value>): Promise<Value[]> {
  const values: Value[] = []
  for (let time = 0; time < times; time++) values.push(await measure())
  return values
}
