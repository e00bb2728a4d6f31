import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { BenchOptions } from './tools/options.js'
import type { ProduceReport, ProduceRun } from './tools/produce-clients.js'
import { median, type Row } from './tools/report.js'

const TOPIC = 'produce'
const PARTITIONS = 4
const RECORD_BYTES = 1024
const RECORDS_PER_CALL = 1000
const CALLS_IN_FLIGHT = 10
const WARM_UP_MS = 500

type Client = ProduceRun['client']

/**
 * Produce through Router and delivery in process, next to kafkajs' `sendBatch`: the same records, the same number of
 * records per call and calls in flight, acks all, the embedded broker in a process of its own.
 */
export async function produce({ seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const reports: Record<Client, ProduceReport[]> = { castellan: [], kafkajs: [] }
  for (let round = 0; round < rounds; round++) {
    for (const client of ['kafkajs', 'castellan'] as const) reports[client].push(await measure(client, seconds))
  }
  const ours = figures(reports.castellan)
  const theirs = figures(reports.kafkajs)
  return [
    toRow('kafkajs sendBatch', theirs),
    {
      ...toRow('produce', ours),
      ratio: ours.recordsPerSecond / theirs.recordsPerSecond,
      against: 'kafkajs sendBatch',
      note: `${(theirs.cpuUsPerRecord / ours.cpuUsPerRecord).toFixed(1)} × in CPU per record`
    }
  ]
}

/** A fresh broker and client for each window, so that no run stands on what an earlier one left behind. */
async function measure(client: Client, seconds: number): Promise<ProduceReport> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const { child } = await Child.start('./produce-clients.ts')
  try {
    const report = await child.ask<ProduceReport>('run', {
      client,
      bootstrap: broker.bootstrap,
      topic: TOPIC,
      partitions: PARTITIONS,
      recordBytes: RECORD_BYTES,
      recordsPerCall: RECORDS_PER_CALL,
      callsInFlight: CALLS_IN_FLIGHT,
      warmUpMs: WARM_UP_MS,
      measureMs: seconds * 1000
    } satisfies ProduceRun)
    const found = await broker.recordsIn(TOPIC)
    if (found !== report.acknowledgedInAll) {
      throw new Error(`${client}: ${report.acknowledgedInAll} records acknowledged, ${found} in the log`)
    }
    return report
  } finally {
    await child.stop()
    await broker.stop()
  }
}

const figures = (reports: readonly ProduceReport[]) => ({
  recordsPerSecond: median(reports.map(({ counted, seconds }) => counted / seconds)),
  cpuUsPerRecord: median(reports.map(({ cpuMicros, counted }) => cpuMicros / counted)),
  rssMb: median(reports.map(({ rssBytes }) => rssBytes)) / 1e6
})

const toRow = (work: string, { recordsPerSecond, cpuUsPerRecord, rssMb }: ReturnType<typeof figures>): Row => ({
  work,
  value: recordsPerSecond,
  unit: 'records/s',
  recordsPerSecond,
  cpuUsPerRequest: cpuUsPerRecord * RECORDS_PER_CALL,
  rssMb
})
