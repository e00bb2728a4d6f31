import { bodyOf, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { HttpConnection, postRequest } from './tools/http-connection.js'
import type { LoneReport, LoneRun, LoneSetup } from './tools/lone-client.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { type Gateway, pushOne, startGateway } from './tools/servers.js'

const TOPIC = 'lone'
const WARM_UP_MS = 300
/** Pushes before the gateway is left alone, and again behind the first one after it. */
const PUSHES = 200

/**
 * Writes one record of 4 KiB at a time, in turn synchronously through the gateway and by a bare Produce call to the
 * same broker. With `minutes` instead the first push after so many idle minutes.
 */
export async function lone({ seconds, rounds, minutes }: BenchOptions): Promise<readonly Row[]> {
  if (minutes !== undefined) return afterIdle(minutes)
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

/** The first push after idle minutes, beside those before it, and the calls of dispatchers that were made for it. */
async function afterIdle(minutes: number): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: 1 }] })
  const gateway = await startGateway(broker.bootstrap)
  try {
    await pushOne(gateway.port, TOPIC)
    const usual: number[] = []
    for (let push = 0; push < PUSHES; push++) usual.push(await pushMs(gateway.port))
    await new Promise(resolve => setTimeout(resolve, minutes * 60_000))
    const before = await callsOf(gateway)
    const first = await pushMs(gateway.port)
    const after = await callsOf(gateway)
    const next: number[] = []
    for (let push = 0; push < PUSHES; push++) next.push(await pushMs(gateway.port))
    const calls = [...after].map(([call, count]) => [call, count - (before.get(call) ?? 0)] as const)
    const made = calls.flatMap(([call, count]) => (count > 0 ? [`${count} × ${call}`] : []))
    const rowOf = (work: string, all: readonly number[]): Row => {
      return { work, value: median(all), unit: 'ms', note: `at most ${Math.max(...all).toFixed(1)} ms` }
    }
    const note = `after ${minutes} idle minutes; ${made.join(', ')}`
    return [rowOf('usual', usual), { work: 'first', value: first, unit: 'ms', note }, rowOf('next', next)]
  } finally {
    await gateway.stop()
    await broker.stop()
  }
}

/** One synchronous push on a connection of its own, from its opening to its answer. */
async function pushMs(port: number): Promise<number> {
  const startedAtMs = performance.now()
  let answered: (status: number) => void
  const status = new Promise<number>(resolve => (answered = resolve))
  const events = { answered: (_: HttpConnection, code: number) => answered(code), lost: () => answered(0) }
  const connection = new HttpConnection('127.0.0.1', port, events)
  await connection.opened()
  connection.send(postRequest('/kprf/push', Buffer.from(bodyOf(TOPIC, [single], true))))
  if ((await status) !== 200) throw new Error('a push was not answered with 200')
  connection.close()
  return performance.now() - startedAtMs
}

/** The calls of the dispatchers so far; look-ups of metadata are not among them. */
async function callsOf({ managementPort }: Gateway): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${managementPort}/metrics`)).text()
  const lines = text.matchAll(/^castellan_kafka_dispatcher_calls_total\{(.*)\} (\d+)$/gm)
  return new Map([...lines].map(([, labels, count]) => [labels!, Number(count)]))
}
