import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoneReport, LoneRun, LoneSetup } from './tools/lone-client.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, startGateway } from './tools/servers.js'

const TOPIC = 'lone'
const WARM_UP_MS = 300

/**
 * Writes one record of 4 KiB at a time, in turn synchronously through the gateway and by a bare Produce call to the
 * same broker.
 */
export async function lone({ seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: 1 }] })
  const gateway = await startGateway(broker.bootstrap)
  await pushOne(gateway.port, TOPIC)
  const setup: LoneSetup = { bootstrap: broker.bootstrap, gatewayPort: gateway.port, topic: TOPIC }
  const { child: client } = await Child.start('./lone-client.ts', setup)
  const reports = { bare: [] as LoneReport[], push: [] as LoneReport[] }
  try {
    // The first round warms up the compilers.
    for (let round = 0; round <= rounds; round++) {
      for (const what of ['bare', 'push'] as const) {
        const before = await broker.recordsIn(TOPIC)
        const run: LoneRun = { warmUpMs: WARM_UP_MS, measureMs: seconds * 500 }
        const report = await client.ask<LoneReport>(what, run)
        const written = (await broker.recordsIn(TOPIC)) - before
        if (written !== report.records)
          throw new Error(`${what}: ${report.records} records sent, ${written} in the log`)
        if (round > 0) reports[what].push(report)
      }
    }
  } finally {
    await Promise.all([client.stop(), gateway.stop()])
    await broker.stop()
  }
  const toRow = (work: string, all: readonly LoneReport[]): Row => {
    const p50Ms = median(all.map(report => report.p50Ms))
    return { work, value: p50Ms, unit: 'ms', p50Ms, p99Ms: median(all.map(report => report.p99Ms)) }
  }
  const bare = toRow('bare produce', reports.bare)
  const ours = toRow('lone-sync', reports.push)
  const more = ours.value - bare.value
  return [
    bare,
    { ...ours, ratio: bare.value / ours.value, against: 'bare produce', note: `${more.toFixed(3)} ms more than bare` }
  ]
}
