import { randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Histogram } from 'hdr-histogram-js'
import { silentLogger } from '../../src/core/model.js'
import { DurableLog } from '../../src/producer/log/durable-log.js'
import { openLogThread } from '../../src/producer/log/thread-log-host.js'
import { arion } from './arion.js'
import { drain } from './drain.js'
import type { BenchOptions } from './tools/options.js'
import { latencyHistogram, percentiles } from './tools/percentiles.js'
import type { Row } from './tools/report.js'

const VALUE_BYTES = 4_096
const SEGMENT_BYTES = 64 * 1024 * 1024
const PIECE_BYTES = 256 * 1024
/** Size of the entry header, the destination and the fixed part of a record. */
const OVERHEAD_BYTES = 40 + 14 + 24
const WINDOWS = 5
const PUTTERS = [64, 256, 1_024]

/**
 * Measures appending to the durable log by concurrent putters, each of which waits for its answer. In turn, it measures
 * a raw group commit on the same disk: repeated writes and syncs of the same number of bytes. Then it measures Arion's
 * API, which stores its messages in the durable log, and how fast a backlog is delivered from the log.
 */
export async function wal(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const putters of PUTTERS.filter(each => isWanted(options, nameOf(each)))) {
    rows.push(await append(putters, (options.seconds * 1_000) / WINDOWS))
  }
  rows.push(...(await arion(options)))
  if (isWanted(options, 'drain')) rows.push(await drain(options))
  return rows
}

const isWanted = ({ only }: BenchOptions, work: string): boolean => only === undefined || only.includes(work)

const nameOf = (putters: number): string => (putters === 256 ? 'wal-append' : `wal-append-${putters}`)

async function append(putters: number, windowMs: number): Promise<Row> {
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-wal-'))
  try {
    const options = {
      path: join(directory, 'log'),
      segmentBytes: SEGMENT_BYTES,
      maxBytes: Number.MAX_SAFE_INTEGER,
      maxDeadLetterBytes: SEGMENT_BYTES,
      minFreeBytes: 0,
      syncPuts: true,
      syncTakes: false
    }
    const { host } = await openLogThread(options, { log: silentLogger, onCrash: fail, worker: builtWorker() })
    const log = new DurableLog({ ...options, host, maxWaitingBytes: 256 * 1024 * 1024, now: Date.now })
    const ours: number[] = []
    const reusing: number[] = []
    const growing: number[] = []
    const latencies = latencyHistogram()
    await appendFor(log, putters, windowMs / 2, latencyHistogram())
    for (let window = 0; window < WINDOWS; window++) {
      ours.push(await appendFor(log, putters, windowMs, latencies))
      reusing.push(rawFor(directory, putters, windowMs, true))
      growing.push(rawFor(directory, putters, windowMs, false))
    }
    await log.close()
    const { p50Ms, p99Ms } = percentiles(latencies)
    const putsPerSecond = median(ours)
    const ratioTo = (raw: readonly number[]): number => median(ours.map((puts, index) => puts / raw[index]!))
    return {
      work: nameOf(putters),
      value: putsPerSecond,
      unit: 'puts/s',
      p50Ms,
      p99Ms,
      ratio: ratioTo(growing),
      ratioReused: ratioTo(reusing),
      against: 'raw group commit',
      note:
        `${putters} putters of ${VALUE_BYTES} bytes; raw ${Math.round(median(growing))} puts/s; ` +
        `raw over old bytes ${Math.round(median(reusing))} puts/s, ratio ${ratioTo(reusing).toFixed(2)}`
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The compiled file is measured, because users run that file. */
const builtWorker = (): URL => new URL('../../dist/log-worker.js', import.meta.url)

function fail(error: Error): never {
  throw error
}

/** Appends for a time. Returns the number of puts per second. */
async function appendFor(log: DurableLog, putters: number, ms: number, latencies: Histogram): Promise<number> {
  const value = randomBytes(VALUE_BYTES)
  const record = { key: null, value, headers: [], timestampMs: 0 }
  const startedAt = performance.now()
  let puts = 0
  const putter = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const put = (): void => {
        const askedAt = performance.now()
        if (askedAt - startedAt > ms) {
          resolve()
          return
        }
        const refusal = log.append([{ destination: 'default/orders', record }], result => {
          if (result.refusal) throw new Error(result.refusal.message)
          latencies.recordValue(Math.max(1, Math.round((performance.now() - askedAt) * 1_000)))
          puts++
          log.complete(result.firstSequence)
          put()
        })
        if (refusal) reject(new Error(refusal.message))
      }
      put()
    })
  await Promise.all(Array.from({ length: putters }, putter))
  return (puts * 1_000) / (performance.now() - startedAt)
}

/**
 * Repeats a write and a sync of the same bytes, in files with the size of a segment.
 *
 * @param isReused true: files are overwritten, so that a sync need not store a new length and new blocks; false: every
 * file is new, and the previous file is removed
 */
function rawFor(directory: string, putters: number, ms: number, isReused: boolean): number {
  const bytes = randomBytes(putters * (VALUE_BYTES + OVERHEAD_BYTES))
  const path = join(directory, 'raw')
  let descriptor = isReused ? filled(path, SEGMENT_BYTES + bytes.length) : openSync(path, 'w')
  const startedAt = performance.now()
  let commits = 0
  for (let position = 0; performance.now() - startedAt < ms; commits++, position += bytes.length) {
    if (position + bytes.length > SEGMENT_BYTES) {
      position = 0
      if (!isReused) descriptor = replaced(descriptor, path)
    }
    write(descriptor, bytes, position)
    fdatasyncSync(descriptor)
  }
  const commitsPerSecond = (commits * 1_000) / (performance.now() - startedAt)
  closeSync(descriptor)
  rmSync(path)
  return commitsPerSecond * putters
}

function filled(path: string, sizeBytes: number): number {
  const descriptor = openSync(path, 'w')
  write(descriptor, Buffer.alloc(sizeBytes, 1), 0)
  fsyncSync(descriptor)
  return descriptor
}

function replaced(descriptor: number, path: string): number {
  closeSync(descriptor)
  rmSync(path)
  return openSync(path, 'w')
}

function write(descriptor: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length; ) {
    const length = Math.min(PIECE_BYTES - ((position + written) % PIECE_BYTES), bytes.length - written)
    written += writeSync(descriptor, bytes, written, length, position + written)
  }
}

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!
