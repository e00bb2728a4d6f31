import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { Gateway } from '../kill/gateway.js'
import { freePorts } from '../real-kafka/ports.js'
import { peakRssBytes } from './memory.js'
import { writePipelined } from './pipelined-writer.js'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const PARTITIONS = 2
const WRITERS = 8
const MAX_RSS_BYTES = 512 * MIB
/** The one being written, and two spare ones. */
const MAX_SEGMENTS_LEFT = 3
const SEGMENT_BYTES = 64 * MIB
const STUCK_MS = 30_000

export interface BacklogOptions {
  readonly bytes: number
  readonly valueBytes: number
  readonly topics: number
  /** So many of the topics do not exist, and are not created. */
  readonly goneTopics: number
  /** Further settings of the gateway: `NAME=VALUE`. */
  readonly settings: readonly string[]
  readonly say: (line: string) => void
}

export interface BacklogResult {
  readonly records: number
  readonly peakRssBytes: number
  /** From the start of the process, over the whole backlog, to `/ready`. */
  readonly restartMs: number
  readonly drainedPerSecond: number
  /** Segments of the log in the end. */
  readonly segmentsLeft: number
  readonly problems: readonly string[]
}

/** Fills the log while there is no Kafka, restarts the gateway in the middle, lets Kafka come back, and watches it drain. */
export async function runBacklog(options: BacklogOptions): Promise<BacklogResult> {
  const { say, bytes, valueBytes } = options
  const directory = mkdtempSync(join(tmpdir(), 'castellan-backlog-'))
  const [port] = await freePorts(1)
  const settings = [
    'apis.arion.durability=disk',
    `advanced.wal.segmentBytes=${SEGMENT_BYTES}`,
    `wal.maxBytes=${bytes * 2 + GIB}`,
    'delivery.createTopics=false',
    // Whoever shares the machine may make every request late, which is not what is asked here.
    'advanced.http.maxEventLoopDelayMs=0',
    ...options.settings
  ]
  const gateway = await Gateway.make({ directory, bootstrap: `127.0.0.1:${port}`, flags: settings })
  const watch = new Watch(gateway)
  let cluster: EmbeddedCluster | undefined
  try {
    await gateway.launch()
    const records = Math.ceil(bytes / valueBytes)
    await fill(gateway, options, 0, records >> 1)
    say(`half of the backlog is written; peak RSS ${inMib(watch.peak())}`)
    await gateway.kill()
    await gateway.launch()
    await fill(gateway, options, records >> 1, records)
    say(`${inMib(segmentBytesIn(directory))} on disk; peak RSS ${inMib(watch.peak())}`)
    await gateway.kill()
    cluster = await startEmbeddedCluster({ port: port!, autoCreateTopics: false, retentionBytes: 100 * GIB })
    for (let topic = options.goneTopics; topic < options.topics; topic++) {
      cluster.createTopic(nameOf(topic), { partitions: PARTITIONS })
    }
    await gateway.start()
    const restartMs = gateway.startsMs.at(-1)!
    say(`ready ${restartMs.toFixed(0)} ms after the start`)
    const drainedPerSecond = await drain(cluster, options, records, drained =>
      say(`${drained} records drained; peak RSS ${inMib(watch.peak())}`)
    )
    const problems = checkOrder(cluster, options, records)
    const peak = watch.peak()
    if (peak > MAX_RSS_BYTES) problems.push(`RSS rose to ${inMib(peak)}`)
    const allowedMs = 2_000 + (1_000 * bytes) / GIB
    if (restartMs > allowedMs) problems.push(`the restart took ${restartMs.toFixed(0)} ms`)
    await sleep(2_000)
    const segmentsLeft = segmentsIn(directory).length
    if (options.goneTopics === 0 && segmentsLeft > MAX_SEGMENTS_LEFT) problems.push(`${segmentsLeft} segments are left`)
    const exitCode = await gateway.stop()
    if (exitCode !== 0) problems.push(`the gateway ended with ${exitCode}`)
    const left = segmentsIn(directory).length
    if (options.goneTopics === 0 && left > 0) problems.push(`${left} segments are left after the stop`)
    return { records, peakRssBytes: peak, restartMs, drainedPerSecond, segmentsLeft, problems }
  } catch (error) {
    say(gateway.lastWords())
    throw error
  } finally {
    gateway.end()
    await cluster?.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const inMib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`
const nameOf = (topic: number): string => `backlog-${topic}`

/** The most memory over all processes of a gateway. */
class Watch {
  readonly #gateway: Gateway
  #peak = 0

  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  peak(): number {
    this.#peak = Math.max(this.#peak, peakRssBytes(this.#gateway.pid))
    return this.#peak
  }
}

/** Writes the records `from` to `end`, round robin over the topics; the value begins with the number of the record. */
async function fill(
  gateway: Gateway,
  { topics, valueBytes }: BacklogOptions,
  from: number,
  end: number
): Promise<void> {
  const { hostname: host, port } = new URL(gateway.url)
  const filler = 'x'.repeat(valueBytes)
  const statuses = await Promise.all(
    Array.from({ length: WRITERS }, (_, writer) => {
      // One writer per topic, so that the order of its records is known.
      let record = from
      const next = () => {
        while (record < end && (record % topics) % WRITERS !== writer) record++
        if (record >= end) return undefined
        const topic = record % topics
        const body = Buffer.from(`${record} ${filler}`.slice(0, valueBytes))
        record++
        return { path: `/arion/async/${nameOf(topic)}/k`, body }
      }
      return writePipelined({ host, port: Number(port), next })
    })
  )
  const refused = statuses.flatMap(each => [...each]).filter(([status]) => status !== 202)
  if (refused.length > 0)
    throw new Error(`answered ${refused.map(([status, count]) => `${status} ${count} times`).join(', ')}`)
}

/** Waits until all records of topics that exist are in Kafka. Returns records per second. */
async function drain(
  cluster: EmbeddedCluster,
  { topics, goneTopics }: BacklogOptions,
  records: number,
  look: (drained: number) => void
): Promise<number> {
  const wanted = countOf(records, topics, goneTopics)
  const startedAt = performance.now()
  let before = 0
  let movedAt = startedAt
  for (let looks = 1; ; looks++) {
    let found = 0
    for (let topic = goneTopics; topic < topics; topic++) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        found += cluster.highWatermark(nameOf(topic), partition)
      }
    }
    if (found >= wanted) return (wanted * 1_000) / (performance.now() - startedAt)
    if (found > before) movedAt = performance.now()
    before = found
    if (performance.now() - movedAt > STUCK_MS) throw new Error(`stuck at ${found} of ${wanted} records`)
    if (looks % 50 === 0) look(found)
    await sleep(200)
  }
}

/** Of the first `records` records, those for topics that exist. */
function countOf(records: number, topics: number, goneTopics: number): number {
  const rounds = Math.floor(records / topics)
  return rounds * (topics - goneTopics) + Math.max(0, (records % topics) - goneTopics)
}

function checkOrder(cluster: EmbeddedCluster, { topics, goneTopics }: BacklogOptions, records: number): string[] {
  const problems: string[] = []
  for (let topic = goneTopics; topic < topics; topic++) {
    const numbers: number[] = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      for (const { value } of cluster.records(nameOf(topic), partition)) {
        numbers.push(Number.parseInt(value!.toString('latin1', 0, 20), 10))
      }
    }
    const isRight = numbers.every((number, index) => number === topic + index * topics)
    const wanted = Math.ceil((records - topic) / topics)
    if (!isRight || numbers.length !== wanted)
      problems.push(`${nameOf(topic)} has ${numbers.length} of ${wanted} records, or another order`)
  }
  return problems
}

const segmentsIn = (directory: string): string[] =>
  readdirSync(join(directory, 'wal')).filter(name => name.endsWith('.slab') || name.endsWith('.spare'))

const segmentBytesIn = (directory: string): number =>
  segmentsIn(directory).reduce((total, name) => total + statSync(join(directory, 'wal', name)).size, 0)
