import { hasKcat, readByKcat } from './router/kcat.js'
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
// Far more records than the reader's cache can hold, so that repeated reading never finds a record in the cache.
const RECORDS_PER_PARTITION = 60_000
const PARTITION_MAX_BYTES = 1024 * 1024
const RETENTION_BYTES = 256 * 1024 * 1024
const UNCACHED_BYTES = 8 * 1024 * 1024
const WARM_UP_MS = 500
// Has room for one batch of one record but not for two, so that every read returns one record.
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

/**
 * Measures the Router in process: answers from the cache, readers at the end of the log, reading of all records, and
 * single cache misses.
 */
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

/** Writes the records with kafkajs: batches of 250 records, and batches of one record for the latency. */
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
      topics: 1,
      partitions,
      recordsPerCall,
      records
    } satisfies ProduceRun & { records: number })
  await fillTopic('fetch', PARTITIONS, 1000, PARTITIONS * RECORDS_PER_PARTITION)
  await fillTopic('cached', 1, 250, 1000)
  await fillTopic('latency', 1, 1, LATENCY_RECORDS)
  await child.stop()
}

/** Runs a child process for as long as `use` takes. */
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

/** The number of calls to the broker must not depend on the number of readers. */
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

const PEER = '@platformatic/kafka'

type ReadRow = Row & { readonly cpuUsPerRecord: number }

/** What all readers of everything report. `rssBytes`: absent for a reader that ends with each pass. */
type ReadFigures = Pick<ReadReport, 'counted' | 'seconds' | 'cpuMicros'> & Partial<Pick<ReadReport, 'rssBytes'>>

/** In turn, the peers, the bare socket and the Router read the same partitions of the same broker. */
async function uncached({ bootstrap }: Broker, { seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const window = { warmUpMs: WARM_UP_MS, measureMs: seconds * 1000 }
  const source = { topic: 'fetch', partitions: PARTITIONS, recordsPerPartition: RECORDS_PER_PARTITION }
  const partitionMaxBytes = PARTITION_MAX_BYTES
  const other = (client: FetchRun['client']) => () =>
    withChild('./fetch-clients.ts', {}, child =>
      child.ask<FetchReport>('run', { ...window, ...source, client, bootstrap, partitionMaxBytes } satisfies FetchRun)
    )
  const settings = { cacheMaxBytes: UNCACHED_BYTES, fetchBufferBytes: PARTITION_MAX_BYTES }
  const castellan = () =>
    withRouter({ bootstrap, settings }, child =>
      child.ask<ReadReport>('readAll', { ...window, ...source } satisfies ReadAllRun)
    )
  const valueBytes = PARTITIONS * RECORDS_PER_PARTITION * RECORD_BYTES
  const kcat = () =>
    readByKcat({ bootstrap, topic: 'fetch', valueBytes, partitionMaxBytes, measureMs: window.measureMs })
  const readers: (readonly [string, () => Promise<ReadFigures>])[] = [
    ['kafkajs eachBatch', other('kafkajs')],
    [PEER, other('platformatic')],
    ['bare socket', other('socket')],
    ['fetch-uncached', castellan]
  ]
  if (hasKcat()) readers.push(['librdkafka (kcat)', kcat])
  else process.stderr.write('bench: kcat is not there: librdkafka is LEFT OUT\n')
  const reports = readers.map((): ReadFigures[] => [])
  for (let round = 0; round < rounds; round++) {
    for (const [at, [, read]] of readers.entries()) reports[at]!.push(await read())
  }
  const rows = readers.map(([work], at) => toReadRow(work, reports[at]!))
  return rows.map(row => (row.work === 'fetch-uncached' ? { ...row, ...compared(row, rows) } : row))
}

/** Ratios to `PEER`, and to each of the other readers in the note: in CPU per record, and in bytes per second. */
function compared(ours: ReadRow, rows: readonly ReadRow[]): Partial<Row> {
  const ratioTo = (row: ReadRow) => ({
    ratio: row.cpuUsPerRecord / ours.cpuUsPerRecord,
    ratioRequests: ours.value / row.value
  })
  const toAll = rows.filter(row => row !== ours).map(row => ({ ...ratioTo(row), against: row.work }))
  const note = toAll.map(
    ({ ratio, ratioRequests, against }) => `${against} ${ratio.toFixed(2)} in CPU, ${ratioRequests.toFixed(2)} in MB/s`
  )
  return { ...toAll.find(({ against }) => against === PEER)!, note: note.join('; ') }
}

function toReadRow(work: string, of: readonly ReadFigures[]): ReadRow {
  const megabytesPerSecond = median(of.map(({ counted, seconds: taken }) => counted / taken)) / 1e6
  const rss = of.flatMap(({ rssBytes }) => rssBytes ?? [])
  return {
    work,
    value: megabytesPerSecond,
    unit: 'MB/s',
    recordsPerSecond: (megabytesPerSecond * 1e6) / RECORD_BYTES,
    cpuUsPerRecord: median(of.map(({ cpuMicros, counted }) => (cpuMicros / counted) * RECORD_BYTES)),
    ...(rss.length > 0 && { rssMb: median(rss) / 1e6 })
  }
}

/** In turn, the Router and a bare connection fetch single records. The cache is too small to keep them. */
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
