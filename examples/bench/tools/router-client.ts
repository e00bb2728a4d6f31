import type { Castellan, RecordBatch, RouterSettingsOverrides, TopicPartition } from 'castellan'
import { answerParent } from './child.js'
import { type AskRouter, startInProcess } from './in-process.js'
import { latencyHistogram, type Percentiles, percentiles } from './percentiles.js'
import { measureWindow, type Window, type WindowLengths } from './window.js'

export interface RouterSetup {
  readonly bootstrap: string
  readonly settings?: RouterSettingsOverrides
}
export type CachedReport = Window
export type ReadReport = Window & { readonly rssBytes: number }
/** `counted`: answers with records within the window; `records`: records written during the whole run. */
export type TailReport = Window & { readonly records: number }
export type LatencyReport = Percentiles

const CACHED_ASKS_IN_FLIGHT = 256

let parts: Castellan & { readonly askRouter: AskRouter }
let firstBroker: { readonly host: string; readonly port: number }

async function start({ bootstrap, settings = {} }: RouterSetup) {
  parts = await startInProcess({ brokers: bootstrap, router: settings })
  const [host, port] = bootstrap.split(',')[0]!.split(':')
  firstBroker = { host: host!, port: Number(port) }
  return {}
}

/** Sends one FetchData; any answer other than records or the end of the log is an error here. */
async function read(topicPartition: TopicPartition, offset: number): Promise<RecordBatch | undefined> {
  const result = await parts.askRouter(parts.router.ref, { type: 'fetchData', topicPartition, offset })
  if (result.type === 'success') return result.batch
  if (result.type === 'noMessages') return undefined
  throw new Error(`${topicPartition.topic}/${topicPartition.partition}@${offset}: ${result.type}`)
}

/** Reads the same few offsets again and again. All of them are in the cache. */
async function cached({ topic, offsets, ...window }: { topic: string; offsets: number } & WindowLengths) {
  const topicPartition = { topic, partition: 0 }
  let answers = 0
  let asking = true
  const ask = async (offset: number) => {
    for (; asking; offset = (offset + 1) % offsets) {
      await read(topicPartition, offset)
      answers++
    }
  }
  await read(topicPartition, 0)
  const asks = Array.from({ length: CACHED_ASKS_IN_FLIGHT }, (_, at) => ask(at % offsets))
  const report = await measureWindow(window, () => answers)
  asking = false
  await Promise.all(asks)
  return report satisfies CachedReport
}

/** Runs readers at the end of one partition, while records are written to it at a steady pace. */
async function tail({ topic, readers, everyMs, ...window }: TailRun) {
  const topicPartition = { topic, partition: 0 }
  const latest = await parts.askRouter(parts.router.ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
  if (latest.type !== 'success') throw new Error(`latest offset: ${latest.type}`)
  let [answers, records, reading] = [0, 0, true]
  const follow = async () => {
    for (let offset = latest.offset; reading; ) {
      const batch = await read(topicPartition, offset)
      if (!batch) continue
      offset = batch.nextOffset
      answers++
    }
  }
  const followers = Array.from({ length: readers }, follow)
  const record = { topic, partition: 0, key: null, value: Buffer.alloc(1024, 'x') }
  const write = async () => {
    await parts.askRouter(parts.router.ref, { type: 'produce', records: [record] })
    records++
  }
  const writer = setInterval(() => void write(), everyMs)
  const report = await measureWindow(window, () => answers)
  clearInterval(writer)
  reading = false
  await Promise.all(followers)
  return { ...report, records } satisfies TailReport
}
export interface TailRun extends WindowLengths {
  readonly topic: string
  readonly readers: number
  readonly everyMs: number
}

/**
 * Reads all records of all partitions again and again, with one reader per partition. The first and the last byte of
 * every value are read.
 */
async function readAll({ topic, partitions, recordsPerPartition, ...window }: ReadAllRun) {
  let [bytesRead, touched, reading] = [0, 0, true]
  const follow = async (partition: number) => {
    for (let offset = 0; reading; ) {
      const batch = await read({ topic, partition }, offset)
      if (!batch) throw new Error(`nothing at ${topic}/${partition}@${offset}`)
      for (const { value } of batch) {
        touched ^= value![0]! ^ value![value!.length - 1]!
        bytesRead += value!.length
      }
      offset = batch.nextOffset >= recordsPerPartition ? 0 : batch.nextOffset
    }
  }
  const followers = Array.from({ length: partitions }, (_, partition) => follow(partition))
  const report = await measureWindow(window, () => bytesRead)
  reading = false
  await Promise.all(followers)
  return { ...report, rssBytes: process.memoryUsage.rss(), touched }
}
export interface ReadAllRun extends WindowLengths {
  readonly topic: string
  readonly partitions: number
  readonly recordsPerPartition: number
}

export interface LatencyRun extends WindowLengths {
  readonly topic: string
  readonly records: number
  readonly maxBytes: number
}

/** Sends one FetchData request after another, each for an offset that is not in the cache. */
const routerLatency = (run: LatencyRun) =>
  timed(run, async offset => {
    if (!(await read({ topic: run.topic, partition: 0 }, offset))) throw new Error(`nothing at ${offset}`)
  })

/** Sends the same Fetch calls over a connection of the same kind, without a Router. */
async function bareLatency(run: LatencyRun) {
  const client = parts.createClient(firstBroker, 'bench')
  await client.connect()
  const { topic, maxBytes } = run
  const report = await timed(run, async fetchOffset => {
    const { partitions } = await client.fetch({
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes,
      isolationLevel: 'readUncommitted',
      partitions: [{ topic, partition: 0, fetchOffset, maxBytes, currentLeaderEpoch: -1 }]
    })
    if (partitions[0]!.records.batches.length === 0) throw new Error(`nothing at ${fetchOffset}`)
  })
  await client.close()
  return report
}

async function timed({ records, warmUpMs, measureMs }: LatencyRun, once: (offset: number) => Promise<void>) {
  const histogram = latencyHistogram()
  const startedAtMs = performance.now()
  for (let offset = 0; ; offset = (offset + 1) % records) {
    const askedAtMs = performance.now()
    if (askedAtMs - startedAtMs > warmUpMs + measureMs) return percentiles(histogram) satisfies LatencyReport
    await once(offset)
    if (askedAtMs - startedAtMs > warmUpMs) histogram.recordValue(Math.round((performance.now() - askedAtMs) * 1000))
  }
}

answerParent({ start, cached, tail, readAll, routerLatency, bareLatency })
