import { randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Histogram } from 'hdr-histogram-js'
import { silentLogger } from '../../src/model.js'
import { DurableLog } from '../../src/wal/durable-log.js'
import { openLogThread } from '../../src/wal/thread-log-host.js'
import type { BenchOptions } from './options.js'
import { latencyHistogram, percentiles } from './percentiles.js'
import type { Row } from './report.js'

const VALUE_BYTES = 4_096
const SLAB_BYTES = 64 * 1024 * 1024
const PIECE_BYTES = 256 * 1024
/** Entry header, destination and the fixed part of a record. */
const OVERHEAD_BYTES = 40 + 14 + 24
const WINDOWS = 5
const PUTTERS = [64, 256, 1_024]

/**
 * Appends to the durable log by so many putters, each of which waits for its answer, next to the raw group commit: one
 * write and one sync of the same bytes after the other, on the same disk, in alternating windows.
 */
export async function wal({ seconds }: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const putters of PUTTERS) rows.push(await append(putters, (seconds * 1_000) / WINDOWS))
  return rows
}

async function append(putters: number, windowMs: number): Promise<Row> {
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-wal-'))
  try {
    const options = {
      path: join(directory, 'log'),
      slabBytes: SLAB_BYTES,
      maxBytes: Number.MAX_SAFE_INTEGER,
      maxDeadLetterBytes: SLAB_BYTES,
      minFreeBytes: 0,
      syncPuts: true,
      syncTakes: false
    }
    const { host } = await openLogThread(options, { log: silentLogger, onCrash: fail, worker: builtWorker() })
    const log = new DurableLog({ ...options, host, maxWaitingBytes: 256 * 1024 * 1024, now: Date.now })
    const ours: number[] = []
    const raw: number[] = []
    const latencies = latencyHistogram()
    await appendFor(log, putters, windowMs / 2, latencyHistogram())
    for (let window = 0; window < WINDOWS; window++) {
      ours.push(await appendFor(log, putters, windowMs, latencies))
      raw.push(rawFor(join(directory, 'raw'), putters, windowMs))
    }
    await log.close()
    const { p50Ms, p99Ms } = percentiles(latencies)
    const putsPerSecond = median(ours)
    return {
      work: putters === 256 ? 'wal-append' : `wal-append-${putters}`,
      value: putsPerSecond,
      unit: 'puts/s',
      p50Ms,
      p99Ms,
      ratio: median(ours.map((puts, index) => puts / raw[index]!)),
      against: 'raw group commit',
      note: `${putters} putters of ${VALUE_BYTES} bytes; raw ${Math.round(median(raw))} puts/s`
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** What is built is measured, as users run it. */
const builtWorker = (): URL => new URL('../../dist/wal/log-worker.js', import.meta.url)

function fail(error: Error): never {
  throw error
}

/** Puts per second. */
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

function rawFor(path: string, putters: number, ms: number): number {
  const bytes = randomBytes(putters * (VALUE_BYTES + OVERHEAD_BYTES))
  const descriptor = openSync(path, 'w')
  const startedAt = performance.now()
  let commits = 0
  let position = 0
  while (performance.now() - startedAt < ms) {
    if (position > SLAB_BYTES) position = 0
    for (let written = 0; written < bytes.length; ) {
      const length = Math.min(PIECE_BYTES - ((position + written) % PIECE_BYTES), bytes.length - written)
      written += writeSync(descriptor, bytes, written, length, position + written)
    }
    fdatasyncSync(descriptor)
    position += bytes.length
    commits++
  }
  closeSync(descriptor)
  rmSync(path)
  return (commits * putters * 1_000) / (performance.now() - startedAt)
}

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!
