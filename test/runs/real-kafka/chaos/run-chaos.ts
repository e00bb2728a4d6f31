import { setTimeout as sleep } from 'node:timers/promises'
import { explain, History, type Verdict } from '../../../support/history-checker.js'
import { SeededRandom } from '../../../support/random.js'
import { freshTopic } from '../../../support/target-cluster.js'
import type { KafkaCluster } from '../cluster.js'
import { GatewayProcess } from '../gateway-process.js'
import { kcatConsume } from '../kcat.js'
import { Nemesis } from './nemesis.js'
import { type PushCounts, PushLoop, partitionOf, pushOnce } from './push-loop.js'
import { type Recovery, RecoveryClock } from './recovery-clock.js'

const partitions = 6
const drainTimeoutMs = 60_000

export interface ChaosOptions {
  readonly cluster: KafkaCluster
  readonly seconds: number
  readonly seed: number
  readonly controllerOnly: boolean
  /** Passed to `castellan serve`. */
  readonly gatewayFlags?: readonly string[]
  readonly say: (line: string) => void
}

export interface ChaosResult {
  readonly verdict: Verdict
  readonly faults: ReadonlyMap<string, number>
  readonly recoveries: readonly Recovery[]
  readonly counts: PushCounts
  /** Of the gateway, after SIGTERM: 0 when it says that nothing was lost. */
  readonly exitCode: number | null
}

/** Writes through the gateway while brokers are killed, paused, stopped and their leaders moved; then judges the log. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { cluster, seconds, seed, say } = options
  const random = new SeededRandom(seed)
  const topics = [freshTopic('chaos'), freshTopic('chaos')]
  for (const topic of topics) await cluster.createTopic(topic, partitions)
  const gateway = await GatewayProcess.start(cluster.workspace, cluster.bootstrap, ...(options.gatewayFlags ?? []))
  try {
    const history = new History()
    const clock = new RecoveryClock(cluster)
    const loops = makeLoops(gateway.url, topics, random, history, clock)
    const nemesis = new Nemesis({ ...options, topics, random: new SeededRandom(seed ^ 0x5eed), clock })
    for (const loop of loops) loop.start()
    await nemesis.run(performance.now() + seconds * 1000)
    await Promise.all(loops.map(loop => loop.stop()))
    await drain(gateway, topics, history)
    await nothingWaits(gateway)
    say('healed and drained')
    const exitCode = await gateway.stop()
    const log = (await Promise.all(topics.map(topic => kcatConsume(cluster.bootstrap, topic)))).flat().map(record => ({
      ...record,
      key: String(record.key),
      value: String(record.value)
    }))
    const verdict = history.check(log, record => /^[\w-]+-\d+(?= )/.exec(record.value)?.[0])
    return { verdict, faults: nemesis.counts, recoveries: clock.recoveries, counts: sum(loops), exitCode }
  } catch (error) {
    say(`the gateway's last words:\n${gateway.log().split('\n').slice(-30).join('\n')}`)
    throw error
  } finally {
    gateway.process.kill('SIGKILL')
  }
}

/** One loop per partition that waits for acknowledgements, and some that do not wait, over all partitions. */
function makeLoops(
  url: string,
  topics: readonly string[],
  random: SeededRandom,
  history: History,
  clock: RecoveryClock
): PushLoop[] {
  const common = { url, history, pauseMs: 10 }
  const loop = (name: string, topic: string, keys: readonly string[], waitForSend: boolean): PushLoop =>
    new PushLoop({
      ...common,
      name,
      topic,
      keys,
      waitForSend,
      random: new SeededRandom(random.between(0, 2 ** 31)),
      onAcknowledged: (acked, sentAt, at) => {
        if (!waitForSend) return
        for (const key of acked) clock.acknowledged(`${topic}/${partitionOf(key, partitions)}`, sentAt, at)
      }
    })
  return topics.flatMap((topic, of) => [
    ...Array.from({ length: partitions }, (_, partition) =>
      loop(`sync-${of}-${partition}`, topic, keysOf(`sync-${of}-${partition}`, 3, partition), true)
    ),
    ...Array.from({ length: 4 }, (_, index) =>
      loop(
        `async-${of}-${index}`,
        topic,
        Array.from({ length: 10 }, (_, key) => `async-${of}-${index}-${key}`),
        false
      )
    )
  ])
}

/** Keys that kprf puts into one partition. */
function keysOf(prefix: string, count: number, partition: number): string[] {
  const keys: string[] = []
  for (let index = 0; keys.length < count; index++) {
    const key = `${prefix}-${index}`
    if (partitionOf(key, partitions) === partition) keys.push(key)
  }
  return keys
}

/** A record acknowledged in each partition stands behind everything that was accepted for it before. */
async function drain(gateway: GatewayProcess, topics: readonly string[], history: History): Promise<void> {
  const deadline = performance.now() + drainTimeoutMs
  for (const topic of topics) {
    for (let partition = 0; partition < partitions; partition++) {
      for (let attempt = 1; ; attempt++) {
        const record = { id: `last-${topic}-${partition}-${attempt}`, topic, key: `last-${partition}`, value: '' }
        record.value = `${record.id} `
        history.invoke(record)
        const isAcknowledged = await pushOnce(gateway.url, topic, partition, record.key, record.value)
        history.complete(record.id, isAcknowledged ? { type: 'ok' } : { type: 'unknown', answered: true })
        if (isAcknowledged) break
        if (performance.now() > deadline) throw new Error(`${topic}/${partition} did not drain in ${drainTimeoutMs} ms`)
        await sleep(100)
      }
    }
  }
}

/** Of several processes each may hold records of a partition. */
async function nothingWaits(gateway: GatewayProcess): Promise<void> {
  const deadline = performance.now() + drainTimeoutMs
  while ((await bufferedRecords(gateway)) > 0) {
    if (performance.now() > deadline) throw new Error(`records waited for more than ${drainTimeoutMs} ms`)
    await sleep(100)
  }
}

async function bufferedRecords({ managementUrl }: GatewayProcess): Promise<number> {
  const text = await (await fetch(`${managementUrl}/metrics`)).text()
  const [, value] = text.match(/^castellan_delivery_buffered_records(?:\{[^}]*\})? (\d+)$/m) ?? []
  if (value === undefined) throw new Error('/metrics does not say how many records wait')
  return Number(value)
}

function sum(loops: readonly PushLoop[]): PushCounts {
  const total: PushCounts = { requests: 0, records: 0, ok: 0, refused: 0, unknown: 0, unanswered: 0, slowestMs: 0 }
  for (const { counts } of loops) {
    for (const name of ['requests', 'records', 'ok', 'refused', 'unknown', 'unanswered'] as const) {
      total[name] += counts[name]
    }
    total.slowestMs = Math.max(total.slowestMs, counts.slowestMs)
  }
  return total
}

/** What a run prints at its end. */
export function report({ verdict, faults, recoveries, counts, exitCode }: ChaosResult): string {
  const worst = (of: (recovery: Recovery) => number): string => Math.max(0, ...recoveries.map(of)).toFixed(0)
  return [
    `faults: ${[...faults].map(([name, count]) => `${name} ${count}`).join(', ')}`,
    ...recoveries.map(
      ({ fault, partitions: hit, afterFaultMs, afterNewLeaderMs }) =>
        `recovery: ${fault}, ${hit} partitions: ${afterFaultMs.toFixed(0)} ms after the fault, ` +
        `${afterNewLeaderMs.toFixed(0)} ms after the new leader was in the metadata`
    ),
    `slowest recovery: ${worst(one => one.afterFaultMs)} ms after the fault, ` +
      `${worst(one => one.afterNewLeaderMs)} ms after the new leader was in the metadata`,
    `requests: ${counts.requests}, slowest answer ${counts.slowestMs.toFixed(0)} ms, unanswered ${counts.unanswered}; ` +
      `records refused ${counts.refused}; gateway's exit code ${exitCode}`,
    explain(verdict)
  ].join('\n')
}

/** Everything that must hold; empty when it does. */
export function problems({ verdict, counts, exitCode, recoveries }: ChaosResult): string[] {
  const found = verdict.violations.map(({ rule, what }) => `${rule}: ${what}`)
  if (counts.unanswered > 0) found.push(`${counts.unanswered} requests were never answered`)
  if (exitCode !== 0) found.push(`the gateway ended with ${exitCode}`)
  if (verdict.ok === 0 || recoveries.length === 0) found.push('nothing was acknowledged or no fault hit a leader')
  return found
}
