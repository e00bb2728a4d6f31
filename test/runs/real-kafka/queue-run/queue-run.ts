import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openCastellan } from '../../../../src/client/open-castellan.js'
import type { QueueVerdict } from '../../../support/queue-history/queue-events.js'
import { QueueHistory } from '../../../support/queue-history/queue-history.js'
import { SeededRandom } from '../../../support/random.js'
import { freshTopic } from '../../../support/target-cluster.js'
import { Gateway } from '../../kill/gateway.js'
import type { KafkaCluster } from '../cluster.js'
import { causeFaults, type FaultCounts } from '../gateway-faults.js'
import { kcat } from '../kcat.js'
import { freePorts } from '../ports.js'
import { type Manner, Worker } from './worker.js'

const PARTITIONS = 6
const CLIENTS = 40
const DELIVERY_LIMIT = 10
const LOCK_MS = 15_000
const WRITTEN_AT_ONCE = 500
/** One message of so many is released by whoever gets it. */
const POISON_EVERY = 500
/** A run is given up when Kafka's lag has not changed for so long. */
const STUCK_MS = 120_000
/** On a busy machine, an answer takes no longer to its client. */
const TRANSIT_MS = 30_000
/** What a fault has cost may show so much later: a connection that is lost, a lock that ends. */
const AFTER_MS = 20_000
/** The controller copies dead letters when it gets to it. */
const DEAD_LETTERS_MS = 20_000

export interface QueueRunOptions {
  readonly cluster: KafkaCluster
  readonly messages: number
  readonly faults: FaultCounts
  readonly hasDeadLetters: boolean
  readonly seed: number
  readonly say: (line: string) => void
}

/**
 * Two gateways that know each other serve one queue to 40 clients, which use all words at either gateway, oversleep, forget and
 * vanish, while gateways and brokers fail. It ends when Kafka has nothing left to offer.
 */
export async function runQueue(options: QueueRunOptions): Promise<QueueVerdict> {
  const { cluster, say } = options
  const directory = mkdtempSync(join(tmpdir(), 'castellan-queue-run-'))
  const random = new SeededRandom(options.seed)
  const topic = freshTopic('queue-run')
  const deadLetters = options.hasDeadLetters ? `dlq.${topic}` : undefined
  const history = new QueueHistory()
  const places = new Map<string, string>()
  await cluster.createTopic(topic, PARTITIONS)
  if (deadLetters !== undefined)
    await cluster.createTopic(deadLetters, 3, { 'errors.deadletterqueue.group.enable': 'true' })
  const gateways = await makeGateways(directory, cluster.bootstrap)
  const endGateways = (): void => {
    for (const gateway of gateways) gateway.end()
  }
  process.once('exit', endGateways)
  const castellan = await openCastellan({ brokers: cluster.bootstrap.split(',') })
  const write = async (until: number): Promise<void> => {
    while (history.size < until) {
      const values = Array.from(
        { length: Math.min(WRITTEN_AT_ONCE, until - history.size) },
        (_, at) => `m${history.size + at}`
      )
      for (const value of values) history.written(value)
      const records = values.map(value => ({ topic, partition: random.between(0, PARTITIONS - 1), key: null, value }))
      const produced = castellan.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 120_000 })
      for (const [at, outcome] of (await produced.outcomes()).entries()) {
        if (outcome.type !== 'delivered') throw new Error(`${values[at]} was not written: ${JSON.stringify(outcome)}`)
        places.set(`${outcome.partition}/${outcome.offset}`, values[at]!)
      }
    }
  }
  try {
    await Promise.all(gateways.map(gateway => gateway.start()))
    const path = `/queues/${topic}/workers`
    const urls = gateways.map(({ url }) => url)
    await configure(`${urls[0]}${path}`, deadLetters)
    const isPoison = (message: string): boolean => Number(message.slice(1)) % POISON_EVERY === 7
    const queue = { urls, path, history, random, isPoison }
    const workers = Array.from({ length: CLIENTS }, (_, at) => new Worker(queue, at, mannerOf(at)))
    const working = workers.map(worker => worker.run())
    const problem = (text: string): void => history.problem('exit code', text)
    const healed = (_: unknown, from: number, to: number): void =>
      history.disturbed({ from, to: to + AFTER_MS, unseen: 1, ends: 'process' })
    await causeFaults(options.faults, { ...options, topic, gateways, random, problem, healed }, part =>
      write(Math.floor(part * options.messages))
    )
    await write(options.messages)
    say(`${history.size} messages are written, ${history.settled} settled`)
    await untilNothingIsLeft(`${urls[0]}${path}`, history, say)
    for (const worker of workers) worker.stop()
    await Promise.all(working)
    noteArchived(gateways, places, history)
    for (const line of lossesIn(gateways)) say(line)
    const letters = deadLetters === undefined ? undefined : await deadLettersIn(cluster.bootstrap, deadLetters)
    for (const [at, code] of (await Promise.all(gateways.map(gateway => gateway.stop()))).entries())
      if (code !== 0) history.problem('exit code', `a gateway ended with ${code}:\n${gateways[at]!.lastWords()}`)
    const verdict = history.verdict({
      deliveryLimit: DELIVERY_LIMIT,
      transitMs: TRANSIT_MS,
      locksEndUnheard: false,
      mostUnseen: 2,
      deadLetters: letters
    })
    if (verdict.problems.length === 0) rmSync(directory, { recursive: true, force: true })
    else say(`the logs of the gateways are in ${directory}`)
    return verdict
  } finally {
    endGateways()
    process.off('exit', endGateways)
    await castellan.close()
  }
}

function mannerOf(client: number): Manner {
  if (client < 4) return 'slow'
  if (client < 7) return 'forgetful'
  return client < 14 ? 'vanishing' : 'diligent'
}

async function makeGateways(directory: string, bootstrap: string): Promise<readonly Gateway[]> {
  const peers = (await freePorts(2)).map(port => `127.0.0.1:${port}`)
  return Promise.all(
    peers.map((listen, at) => {
      const own = join(directory, String(at))
      mkdirSync(own)
      const flags = [
        `peers.addresses=${peers.join(',')}`,
        `peers.listen=${listen}`,
        'peers.token=a secret of more than thirty-two bytes'
      ]
      return Gateway.make({ directory: own, bootstrap, flags })
    })
  )
}

async function configure(url: string, deadLetters: string | undefined): Promise<void> {
  const settings = { start: 'earliest', deliveryLimit: DELIVERY_LIMIT, lockMs: LOCK_MS, deadLetters }
  const answer = await fetch(url, { method: 'PATCH', body: JSON.stringify(settings) })
  if (answer.status !== 200) throw new Error(`the group cannot be configured: ${await answer.text()}`)
}

/** Resolves when Kafka has nothing to offer and nothing is acquired, or when nothing changes any more. */
async function untilNothingIsLeft(url: string, history: QueueHistory, say: (line: string) => void): Promise<void> {
  let [left, changedAt] = [Number.POSITIVE_INFINITY, performance.now()]
  while (left > 0) {
    await sleep(500)
    const answer = await fetch(url).catch(() => undefined)
    if (answer?.status !== 200) continue
    const { partitions } = (await answer.json()) as { readonly partitions: readonly { readonly lag: number | null }[] }
    const now = partitions.reduce((sum, { lag }) => sum + (lag ?? 0), 0)
    if (now !== left) [left, changedAt] = [now, performance.now()]
    if (performance.now() - changedAt < STUCK_MS) continue
    history.problem('stuck', `Kafka's lag is ${left}, and stays so: ${JSON.stringify(partitions)}`)
    return
  }
  say('Kafka has nothing left to offer')
}

/** Notes what the gateways have logged about messages at their last delivery. */
function noteArchived(gateways: readonly Gateway[], places: ReadonlyMap<string, string>, history: QueueHistory): void {
  for (const line of gateways.flatMap(({ logPath }) => readFileSync(logPath, 'utf8').split('\n'))) {
    if (!line.includes('a message at its last delivery is archived')) continue
    const { partition, offset, because } = JSON.parse(line) as { partition: number; offset: number; because: string }
    const message = places.get(`${partition}/${offset}`)
    if (message !== undefined) history.archived(message, Number.POSITIVE_INFINITY, because)
  }
}

/** What the gateways have logged about sessions with leaders, and about messages that were lost with them. */
function lossesIn(gateways: readonly Gateway[]): readonly string[] {
  return gateways.flatMap(({ logPath }, at) => {
    const lines = readFileSync(logPath, 'utf8').split('\n')
    const found = lines.filter(line => /the session with a leader was lost|are lost with their leader/.test(line))
    return found.map(line => {
      const { time, nodeId, reason, partition, messages } = JSON.parse(line) as Record<string, string | number>
      if (nodeId !== undefined) return `gateway ${at}, ${time}: the session with node ${nodeId} was lost: ${reason}`
      return `gateway ${at}, ${time}: ${messages} messages were lost with ${partition === undefined ? 'it' : `partition ${partition}`}`
    })
  })
}

/** The values of all copies, when no more come. */
async function deadLettersIn(bootstrap: string, topic: string): Promise<readonly string[]> {
  let letters: readonly string[] = []
  for (
    let [size, changedAt] = [-1, performance.now()];
    performance.now() - changedAt < DEAD_LETTERS_MS;
    await sleep(2_000)
  ) {
    const text = await kcat(['-C', '-b', bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-f', '%s\\n'])
    letters = text.toString().split('\n').filter(Boolean)
    if (letters.length !== size) [size, changedAt] = [letters.length, performance.now()]
  }
  return letters
}
