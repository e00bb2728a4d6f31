import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspectLog } from '../../../src/producer/log/inspect.js'
import { NodeDirectory } from '../../../src/producer/log/node-files.js'
import { History, type Logged, type Verdict } from '../../support/history-checker.js'
import { SeededRandom } from '../../support/random.js'
import { freshTopic, type TargetCluster } from '../../support/target-cluster.js'
import { Gateway } from './gateway.js'
import { HistoryFile } from './history-file.js'
import { isKeyed, type LoadMode, load } from './load.js'
import { idOf } from './messages.js'
import { readLog } from './read-log.js'
import { ReceiptCheck, type ReceiptVerdict } from './receipt-check.js'

const PARTITIONS = 6
const MAX_VALUE_BYTES = 100
const DRAIN_TIMEOUT_MS = 120_000
const LONGEST_AWAY_MS = 300

/** Keys of kafboy are kept together only so. */
const onDisk = [
  ...['arion', 'kprf', 'kafboy'].map(api => `apis.${api}.durability=disk`),
  'apis.kafboy.payload=fields',
  'apis.kafboy.partitionStrategy=custom'
]

/** How many clients of each kind. */
export type Clients = Readonly<Partial<Record<LoadMode, number>>>

export interface KillOptions {
  readonly cluster: TargetCluster
  /** Of the gateway, by SIGKILL. */
  readonly kills: number
  /** Records that are acknowledged before the last check. */
  readonly records: number
  readonly clients: Clients
  readonly seed: number
  /** Kills a broker with every other kill of the gateway, one at a time. */
  readonly killsBrokers?: boolean
  /** Further settings: `NAME=VALUE`. */
  readonly settings?: readonly string[]
  /** Whether records may be in the durable log in the end. Default: yes. */
  readonly drains?: boolean
  /**
   * Brings about what each kill has to meet. What it returns is called when the gateway is dead, before it starts again.
   */
  readonly beforeKill?: (history: History) => Promise<() => void>
  readonly say: (line: string) => void
}

/** How many records requests with a key have in Kafka. */
export interface KeyVerdict {
  /** Keys whose requests were answered. */
  readonly keys: number
  /** Those that have another number of records than one. */
  readonly wrong: readonly string[]
}

export interface KillResult {
  readonly verdict: Verdict
  readonly keys: KeyVerdict
  readonly receipts: ReceiptVerdict
  readonly kills: number
  readonly brokerKills: number
  /** Of the gateway, after SIGTERM. */
  readonly exitCode: number | null
  readonly slowestStartMs: number
  readonly seconds: number
}

/** Clients write while the gateway is killed at random moments and started again; then everything in Kafka is compared. */
export async function runKill(options: KillOptions): Promise<KillResult> {
  const { cluster, records, seed, say } = options
  const directory = mkdtempSync(join(tmpdir(), 'castellan-kill-'))
  const file = new HistoryFile(join(directory, 'history'))
  const history = new History(file)
  const startedAt = performance.now()
  const topics = [freshTopic('kill'), freshTopic('kill')]
  for (const topic of topics) await cluster.createTopic(topic, PARTITIONS)
  const flags = [...onDisk, 'advanced.wal.segmentBytes=4194304', ...(options.settings ?? [])]
  const gateway = await Gateway.make({ directory, bootstrap: cluster.bootstrap, flags })
  try {
    await gateway.start()
    let isStopped = false
    const receipts = new ReceiptCheck(gateway.url, new SeededRandom(seed + 1))
    const loads = startLoads(options, gateway, topics, history, receipts, () => isStopped)
    loads.push(receipts.run(() => isStopped))
    const brokerKills = await killAgainAndAgain(options, gateway, history)
    while (history.okCount < records) await sleep(50)
    isStopped = true
    await Promise.all(loads)
    say(`${history.okCount} records acknowledged; draining`)
    if (options.drains ?? true) await drain(join(directory, 'wal'))
    if (options.drains ?? true) await receipts.askAll()
    const exitCode = await gateway.stop()
    const log: Logged[] = []
    for await (const record of readLog(cluster.bootstrap, topics, PARTITIONS)) log.push(record)
    const verdict = history.check(log, idOf, { areLostOnesOrdered: true, areConnectionsOrdered: true })
    const keys = keysOf(history, log)
    const receiptVerdict = receipts.check(log, idOf)
    const slowestStartMs = Math.max(...gateway.startsMs)
    const seconds = (performance.now() - startedAt) / 1_000
    file.close()
    rmSync(directory, { recursive: true, force: true })
    return {
      verdict,
      keys,
      receipts: receiptVerdict,
      kills: gateway.startsMs.length - 1,
      brokerKills,
      exitCode,
      slowestStartMs,
      seconds
    }
  } catch (error) {
    say(`seed ${seed}; history, logs and the durable log are in ${directory}; the gateway's last words:`)
    say(gateway.lastWords())
    throw error
  } finally {
    gateway.end()
  }
}

function startLoads(
  { clients, seed }: KillOptions,
  gateway: Gateway,
  topics: readonly string[],
  history: History,
  receipts: ReceiptCheck,
  isStopped: () => boolean
): Promise<void>[] {
  const random = new SeededRandom(seed)
  return Object.entries(clients).flatMap(([mode, count]) =>
    Array.from({ length: count }, (_, index) => {
      const name = `${mode}-${index}`
      return load(mode as LoadMode, {
        name,
        url: gateway.url,
        topic: topics[index % topics.length]!,
        keys: Array.from({ length: 5 }, (_, key) => `${name}-${key}`),
        maxValueBytes: MAX_VALUE_BYTES,
        random: new SeededRandom(random.between(0, 2 ** 31)),
        history,
        receipts,
        isStopped
      })
    })
  )
}

/** Returns how often a broker was killed, too. */
async function killAgainAndAgain(options: KillOptions, gateway: Gateway, history: History): Promise<number> {
  const { kills, records, seed, cluster, killsBrokers = false, say } = options
  const random = new SeededRandom(seed ^ 0x5eed)
  const broker = new OneBrokerDown(cluster, random)
  for (let kill = 0; kill < kills; kill++) {
    const wanted = (records * (kill + random.next())) / kills
    while (history.okCount < wanted) await sleep(random.between(1, 20))
    if (killsBrokers && kill % 2 === 0) await broker.change()
    const afterKill = await options.beforeKill?.(history)
    await gateway.kill()
    await sleep(random.between(0, LONGEST_AWAY_MS))
    afterKill?.()
    await gateway.start()
    say(
      `kill ${kill + 1} of ${kills}: ${history.okCount} records acknowledged, back after ${Math.round(gateway.startsMs.at(-1)!)} ms`
    )
  }
  await broker.heal()
  return broker.kills
}

/** Of three brokers one may be down: the others still take what all in-sync replicas must have. */
export class OneBrokerDown {
  readonly #cluster: TargetCluster
  readonly #random: SeededRandom
  #down: number | undefined
  kills = 0

  constructor(cluster: TargetCluster, random: SeededRandom) {
    this.#cluster = cluster
    this.#random = random
  }

  /** Kills one, or brings back the one that is down. */
  async change(): Promise<void> {
    if (this.#down !== undefined) {
      await this.heal()
      return
    }
    this.#down = this.#random.pick(this.#cluster.nodeIds)
    this.kills++
    await this.#cluster.killNode(this.#down)
  }

  async heal(): Promise<void> {
    if (this.#down !== undefined) await this.#cluster.reviveNode(this.#down)
    this.#down = undefined
  }
}

/** Waits until nothing is in the durable log any more. */
async function drain(walDirectory: string): Promise<void> {
  for (const deadline = performance.now() + DRAIN_TIMEOUT_MS; ; await sleep(100)) {
    const backlogs = [...inspectLog(new NodeDirectory(walDirectory)).backlog]
    if (backlogs.length === 0) return
    const left = backlogs.map(([name, { openEntries }]) => `${name}: ${openEntries}`)
    if (performance.now() > deadline) throw new Error(`not drained in ${DRAIN_TIMEOUT_MS} ms: ${left.join(', ')}`)
  }
}

/** Each key whose request was answered has one record. */
function keysOf(history: History, log: readonly Logged[]): KeyVerdict {
  const counts = new Map<string | undefined, number>()
  for (const record of log) counts.set(idOf(record), (counts.get(idOf(record)) ?? 0) + 1)
  const all = [...history.sent].filter(({ id, outcome }) => isKeyed(id) && outcome?.type === 'ok')
  const wrong = all.flatMap(({ id }) => {
    const count = counts.get(id) ?? 0
    return count === 1 ? [] : [`${id} has ${count} records`]
  })
  return { keys: all.length, wrong }
}

/** Everything that must hold; empty when it does. */
export function problemsOf(
  { verdict, keys, receipts, exitCode }: KillResult,
  { kills, records }: KillOptions
): string[] {
  const found = verdict.violations.map(({ rule, what }) => `${rule}: ${what}`)
  found.push(...keys.wrong.map(what => `key: ${what}`))
  found.push(...receipts.wrong.map(what => `receipt: ${what}`))
  if (exitCode !== 0) found.push(`the gateway ended with ${exitCode}`)
  if (verdict.ok < records) found.push(`only ${verdict.ok} records were acknowledged`)
  if (verdict.unknown === 0 && kills > 0) found.push('no kill met a record under way')
  return found
}
