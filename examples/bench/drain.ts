import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { DrainRun } from './tools/drain-client.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'

const TOPIC = 'drain'
const PARTITIONS = 4
const RECORD_BYTES = 4_096
/** Number of records: 1 GiB of values. */
const RECORDS = 262_144
const MAX_ROUNDS = 3
const TIMEOUT_MS = 120_000
const GIB = 1024 ** 3

interface Figures {
  readonly recordsPerSecond: number
  readonly cpuUsPerRecord: number
  readonly rssMb: number
}

/** How fast a backlog of 1 GiB is delivered from the durable log, compared with the same records from memory. */
export async function drain({ rounds }: BenchOptions): Promise<Row> {
  const fromDisk: Figures[] = []
  const fromMemory: Figures[] = []
  for (let round = 0; round < Math.min(rounds, MAX_ROUNDS); round++) {
    fromMemory.push(await measure('produce'))
    fromDisk.push(await measure('drain'))
  }
  const of = (figures: readonly Figures[], figure: keyof Figures): number => median(figures.map(each => each[figure]))
  return {
    work: 'drain',
    value: of(fromDisk, 'recordsPerSecond'),
    unit: 'records/s',
    recordsPerSecond: of(fromDisk, 'recordsPerSecond'),
    rssMb: of(fromDisk, 'rssMb'),
    ratio: of(fromDisk, 'recordsPerSecond') / of(fromMemory, 'recordsPerSecond'),
    against: 'produced from memory',
    note:
      `${RECORDS} records of ${RECORD_BYTES} bytes; ${of(fromDisk, 'cpuUsPerRecord').toFixed(1)} µs CPU per record, ` +
      `from memory ${Math.round(of(fromMemory, 'recordsPerSecond'))} records/s and ${of(fromMemory, 'cpuUsPerRecord').toFixed(1)} µs`
  }
}

/** Each run has a new broker and a new client, so that no run profits from an earlier run. */
async function measure(verb: 'drain' | 'produce'): Promise<Figures> {
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-drain-'))
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }], retentionBytes: GIB })
  const { child } = await Child.start('./drain-client.ts')
  const run: DrainRun = {
    bootstrap: broker.bootstrap,
    topic: TOPIC,
    partitions: PARTITIONS,
    records: RECORDS,
    recordBytes: RECORD_BYTES,
    directory: join(directory, 'wal')
  }
  try {
    if (verb === 'drain') await child.ask('fill', run, TIMEOUT_MS)
    const before = child.stats().cpuMicros
    const startedAt = performance.now()
    await child.ask(verb, run, TIMEOUT_MS)
    while ((await broker.recordsIn(TOPIC)) < RECORDS) {
      if (performance.now() - startedAt > TIMEOUT_MS) throw new Error(`not drained in ${TIMEOUT_MS} ms`)
      await sleep(10)
    }
    const seconds = (performance.now() - startedAt) / 1_000
    const { cpuMicros, rssBytes } = child.stats()
    await child.ask('close')
    return {
      recordsPerSecond: RECORDS / seconds,
      cpuUsPerRecord: (cpuMicros - before) / RECORDS,
      rssMb: rssBytes / 1e6
    }
  } finally {
    await child.stop()
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}
