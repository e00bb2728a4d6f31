import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openCastellan } from '../../../src/client/open-castellan.js'
import { SeededRandom } from '../../support/random.js'
import { freshTopic, type TargetCluster, withAdmin } from '../../support/target-cluster.js'
import { freePorts } from '../real-kafka/ports.js'
import { Gateway } from './gateway.js'
import { OneBrokerDown } from './run-kill.js'

const PARTITIONS = 6
const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'
/** Pause between two writes. */
const WRITE_PAUSE_MS = 100
/** So many are written at least, however slow the machine is. */
const MIN_RECORDS = 200
/** Instances of one group. */
const INSTANCES_OF_GROUP = 4
/** A client repeats a request that failed after this pause. */
const RETRY_MS = 50
/** In the end groups are offered everything. It counts as lost when no group is given any more for this time. */
const IDLE_MS = 60_000
/** The longest pause of a gateway: longer than the sessions of its groups. */
const LONGEST_PAUSE_MS = 8_000
/** Pause between two looks at the committed offsets. */
const CHECK_PAUSE_MS = 200
/** A client gives up a request after this time. */
const REQUEST_TIMEOUT_MS = 15_000
/** A restarted gateway is ready before it is killed again. */
const LONGEST_AWAY_MS = 1_000

export interface TwoGatewaysOptions {
  readonly cluster: TargetCluster
  /** How long records are written, and gateways and brokers killed. */
  readonly seconds: number
  readonly kills: number
  readonly brokerKills: number
  /** How often a gateway stands still for up to 8 s. Default: never. */
  readonly pauses?: number | undefined
  /** Consumer instances of Confluent's API. Four of them are in one group. */
  readonly instances: number
  /** Groups of Kafka-Pixy's API, and the clients of each. Default: two. */
  readonly pixyGroups: number
  readonly clients?: number | undefined
  /** That are written. Default: 50. */
  readonly recordsPerSecond?: number | undefined
  readonly seed: number
  /** A longer pause of an instance is a problem. Default: it is only told. */
  readonly maxPauseMs?: number | undefined
  readonly say: (line: string) => void
}

export interface TwoGatewaysResult {
  readonly written: number
  readonly kills: number
  readonly brokerKills: number
  readonly pauses: number
  /** Answers with records, and how many records were given out more than once, over all groups. */
  readonly given: number
  readonly duplicates: number
  /** The longest time in which a client of an instance got no answer of success, in milliseconds. */
  readonly longestPauseMs: number
  /** Messages of Kafka-Pixy's API that were acknowledged at the gateway that had not given them out. */
  readonly acksElsewhere: number
  /** Acknowledgements that no gateway took. */
  readonly acksRefused: number
  /** How often the committed offsets of all groups were compared with what they had been given. */
  readonly commitChecks: number
  readonly problems: readonly string[]
}

/** What a group was given. */
class GroupLog {
  readonly name: string
  readonly #seen = new Set<string>()
  given = 0

  constructor(name: string) {
    this.name = name
  }

  add(partition: number, offset: number): void {
    this.given++
    this.#seen.add(`${partition} ${offset}`)
  }
  has(partition: number, offset: number): boolean {
    return this.#seen.has(`${partition} ${offset}`)
  }
  get duplicates(): number {
    return this.given - this.#seen.size
  }
}

/** Everything that the clients share. */
class Stage {
  readonly random: SeededRandom
  readonly topic = freshTopic('two')
  readonly gateways: Gateway[] = []
  readonly problems: string[] = []
  /** The offsets of acknowledged records, by partition. */
  readonly written: Set<number>[] = Array.from({ length: PARTITIONS }, () => new Set())
  longestPauseMs = 0
  acksElsewhere = 0
  acksRefused = 0
  commitChecks = 0
  isStopped = false

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
  }

  problem(text: string): void {
    if (this.problems.length < 100) this.problems.push(text)
  }

  get writtenCount(): number {
    return this.written.reduce((sum, { size }) => sum + size, 0)
  }

  isComplete(group: GroupLog): boolean {
    return this.missingIn(group).length === 0
  }

  missingIn(group: GroupLog): string[] {
    return this.written.flatMap((offsets, partition) =>
      [...offsets].filter(offset => !group.has(partition, offset)).map(offset => `${partition}/${offset}`)
    )
  }

  /** A request to one of the gateways, by lot. @returns `undefined`: there was no answer */
  async ask(
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: object,
    gateway = this.random.pick(this.gateways)
  ): Promise<Answer | undefined> {
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
    const text = body && { body: JSON.stringify(body) }
    try {
      const answer = await fetch(`${gateway.url}${path}`, { method, headers, signal, ...text })
      const sent = await answer.text()
      return { status: answer.status, body: sent === '' ? undefined : JSON.parse(sent) }
    } catch {
      return undefined
    }
  }
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

interface Given {
  readonly partition: number
  readonly offset: number
}

/** A client of one consumer instance: reads at either gateway, and commits at either what it has got. */
async function useInstance(stage: Stage, group: GroupLog, name: string): Promise<void> {
  const path = `/confluent/consumers/${group.name}/instances/${name}`
  const typed = { 'content-type': V2 }
  let answeredAt = performance.now()
  let isCreated = false
  const paused = (): void => {
    if (isCreated) stage.longestPauseMs = Math.max(stage.longestPauseMs, performance.now() - answeredAt)
  }
  /** Repeats a request until it succeeds. */
  const until = async (
    method: string,
    at: string,
    headers: Record<string, string>,
    body?: object
  ): Promise<Answer | undefined> => {
    while (!stage.isStopped) {
      const answer = await stage.ask(method, at, headers, body)
      const { status = 0 } = answer ?? {}
      if (status === 404 && isCreated) stage.problem(`${name}: ${method} ${at} was answered 404`)
      // A repeated creation finds what the first one has made.
      const isThere = status === 409 && !isCreated
      if ((status >= 200 && status < 300) || isThere) {
        paused()
        answeredAt = performance.now()
        return answer
      }
      if (status >= 400 && status < 500 && status !== 404)
        stage.problem(`${name}: ${method} ${at} was answered ${status} ${JSON.stringify(answer?.body)}`)
      await sleep(RETRY_MS)
    }
    return undefined
  }
  const settings = { name, format: 'binary', 'auto.offset.reset': 'earliest', 'auto.commit.enable': false }
  await until('POST', `/confluent/consumers/${group.name}`, typed, settings)
  isCreated = true
  await until('POST', `${path}/subscription`, typed, { topics: [stage.topic] })
  while (!stage.isStopped) {
    const answer = await until('GET', `${path}/records?timeout=500`, { accept: BINARY })
    if (answer?.status !== 200) continue
    const ends = new Map<number, number>()
    for (const { partition, offset } of answer.body as readonly Given[]) {
      group.add(partition, offset)
      ends.set(partition, offset)
    }
    if (ends.size === 0) continue
    const offsets = [...ends].map(([partition, offset]) => ({ topic: stage.topic, partition, offset }))
    // A commit after a rebalance is refused; then the records come again, here or elsewhere.
    const isNamed = stage.random.next() < 0.5
    const committed = await stage.ask('POST', `${path}/offsets`, typed, isNamed ? { offsets } : undefined)
    if (committed?.status === 404) stage.problem(`${name}: a commit was answered 404`)
  }
  paused()
}

/** A client of a group of Kafka-Pixy's API: consumes at one gateway, and acknowledges at the other one as often as not. */
async function usePixyGroup(stage: Stage, group: GroupLog): Promise<void> {
  const path = `/pixy/topics/${stage.topic}`
  for (let at = 0; !stage.isStopped; ) {
    const answer = await stage.ask(
      'GET',
      `${path}/messages?group=${group.name}&noAck`,
      {},
      undefined,
      stage.gateways[at]
    )
    if (answer?.status !== 200) {
      // The other gateway may read the partitions that have records.
      at = 1 - at
      await sleep(RETRY_MS)
      continue
    }
    const { partition, offset } = answer.body as Given
    group.add(partition, offset)
    for (let tries = 0; tries < 3; tries++) {
      const ack = `${path}/acks?group=${group.name}&partition=${partition}&offset=${offset}`
      const to = stage.random.pick(stage.gateways)
      if ((await stage.ask('POST', ack, {}, undefined, to))?.status === 200) {
        if (to !== stage.gateways[at]) stage.acksElsewhere++
        break
      }
      stage.acksRefused++
      await sleep(RETRY_MS)
    }
    if (stage.random.next() < 0.05) at = 1 - at
  }
}

/**
 * Two gateways that know each other, on three brokers. Clients of consumer instances and of Kafka-Pixy's groups send each
 * request to either of them, while gateways and brokers are killed and come back. Every acknowledged record has to be given
 * to each group; nothing may be committed that was not given; and no instance may be unknown.
 */
export async function runTwoGateways(options: TwoGatewaysOptions): Promise<TwoGatewaysResult> {
  const { cluster, instances, pixyGroups, clients: clientsOfGroup = 2, recordsPerSecond = 50, say } = options
  const directory = mkdtempSync(join(tmpdir(), 'castellan-two-'))
  const stage = new Stage(options.seed)
  await cluster.createTopic(stage.topic, PARTITIONS)
  const ports = await freePorts(2)
  const peers = ports.map(port => `127.0.0.1:${port}`)
  const castellan = await openCastellan({ brokers: cluster.bootstrap.split(',') })
  const broker = new OneBrokerDown(cluster, stage.random)
  try {
    for (const [at, listen] of peers.entries()) {
      const own = join(directory, String(at))
      mkdirSync(own)
      const flags = [
        `peers.addresses=${peers.join(',')}`,
        `peers.listen=${listen}`,
        'peers.token=a secret of more than thirty-two bytes',
        'consumer.sessionTimeoutMs=6000',
        'consumer.start=earliest',
        // A client that asks the gateway without records waits this long before it asks again.
        'consumer.longPollMs=200',
        // A message whose acknowledgement was lost with a gateway comes again after this time.
        'consumer.ackTimeoutMs=5000'
      ]
      stage.gateways.push(await Gateway.make({ directory: own, bootstrap: cluster.bootstrap, flags }))
    }
    await Promise.all(stage.gateways.map(gateway => gateway.start()))
    const instanceGroups = Array.from(
      { length: Math.ceil(instances / INSTANCES_OF_GROUP) },
      (_, at) => new GroupLog(`${stage.topic}-instances-${at}`)
    )
    const pixys = Array.from({ length: pixyGroups }, (_, at) => new GroupLog(`${stage.topic}-pixy-${at}`))
    const clients = [
      ...Array.from({ length: instances }, (_, at) =>
        useInstance(stage, instanceGroups[Math.floor(at / INSTANCES_OF_GROUP)]!, `i${at}`)
      ),
      ...pixys.flatMap(group => Array.from({ length: clientsOfGroup }, () => usePixyGroup(stage, group)))
    ]
    const endsAt = performance.now() + options.seconds * 1_000
    const groups = [...instanceGroups, ...pixys]
    const checking = checkAgainAndAgain(cluster.bootstrap, stage, groups, new Set(pixys))
    let isDisturbed = true
    const isDue = (): boolean => isDisturbed || performance.now() < endsAt || stage.writtenCount < MIN_RECORDS
    const writing = write(stage, castellan, (recordsPerSecond * WRITE_PAUSE_MS) / 1_000, isDue)
    const { kills, pauses } = await disturb(options, stage, broker, endsAt)
    isDisturbed = false
    await writing
    await broker.heal()
    say(`${stage.writtenCount} records written; waiting until all groups have them`)
    let [left, leftSince] = [Number.POSITIVE_INFINITY, performance.now()]
    while (left > 0 && performance.now() - leftSince < IDLE_MS) {
      await sleep(500)
      const now = groups.reduce((sum, group) => sum + stage.missingIn(group).length, 0)
      if (now < left) [left, leftSince] = [now, performance.now()]
    }
    stage.isStopped = true
    await Promise.all([checking, ...clients])
    for (const group of groups) {
      const missing = stage.missingIn(group)
      if (missing.length > 0)
        stage.problem(`${group.name} was not given ${missing.length} records: ${missing.slice(0, 5).join(' ')}`)
    }
    if (options.maxPauseMs !== undefined && stage.longestPauseMs > options.maxPauseMs)
      stage.problem(`an instance was not served for ${Math.round(stage.longestPauseMs)} ms`)
    if (stage.acksElsewhere === 0) stage.problem('no message was acknowledged at the other gateway')
    const codes = await Promise.all(stage.gateways.map(gateway => gateway.stop()))
    for (const code of codes) if (code !== 0) stage.problem(`a gateway ended with ${code}`)
    rmSync(directory, { recursive: true, force: true })
    const sum = (of: (group: GroupLog) => number): number => groups.reduce((total, group) => total + of(group), 0)
    return {
      written: stage.writtenCount,
      kills,
      brokerKills: broker.kills,
      pauses,
      given: sum(({ given }) => given),
      duplicates: sum(({ duplicates }) => duplicates),
      longestPauseMs: stage.longestPauseMs,
      acksElsewhere: stage.acksElsewhere,
      acksRefused: stage.acksRefused,
      commitChecks: stage.commitChecks,
      problems: stage.problems
    }
  } finally {
    stage.isStopped = true
    for (const gateway of stage.gateways) gateway.end()
    await castellan.close()
  }
}

async function write(
  stage: Stage,
  { verbs }: Awaited<ReturnType<typeof openCastellan>>,
  recordsAtOnce: number,
  isDue: () => boolean
): Promise<void> {
  const { topic, written, random } = stage
  while (!stage.isStopped && isDue()) {
    const records = Array.from({ length: recordsAtOnce }, () => ({
      topic,
      partition: random.between(0, PARTITIONS - 1),
      key: null,
      value: 'x'.repeat(random.between(1, 100))
    }))
    const options = { partitioner: 'murmur2', deadlineMs: 60_000 } as const
    for (const outcome of await verbs.produce(records, options).outcomes())
      if (outcome.type === 'delivered') written[outcome.partition]!.add(outcome.offset)
    await sleep(WRITE_PAUSE_MS)
  }
}

/** Kills gateways and brokers, and stops gateways for a while, at moments that are spread over the time. */
async function disturb(
  { kills, brokerKills, pauses = 0, seconds, say }: TwoGatewaysOptions,
  { gateways, random }: Stage,
  broker: OneBrokerDown,
  endsAt: number
): Promise<Pick<TwoGatewaysResult, 'kills' | 'pauses'>> {
  const turns = [
    ...Array<'gateway'>(kills).fill('gateway'),
    ...Array<'broker'>(2 * brokerKills).fill('broker'),
    ...Array<'pause'>(pauses).fill('pause')
  ]
  for (let at = turns.length - 1; at > 0; at--) {
    const other = random.between(0, at)
    ;[turns[at], turns[other]] = [turns[other]!, turns[at]!]
  }
  const pauseMs = (seconds * 1_000) / (turns.length + 1)
  const done = { gateway: 0, pause: 0 }
  for (const [at, turn] of turns.entries()) {
    await sleep(Math.max(0, endsAt - (turns.length - at) * pauseMs - performance.now()))
    const gateway = random.pick(gateways)
    if (turn === 'broker') await broker.change()
    else if (turn === 'pause') await gateway.pause(random.between(500, LONGEST_PAUSE_MS))
    else {
      await gateway.kill()
      await sleep(random.between(0, LONGEST_AWAY_MS))
      await gateway.start()
    }
    say(`${turn}: ${turn === 'broker' ? broker.kills : ++done[turn]}`)
  }
  return { kills: done.gateway, pauses: done.pause }
}

/**
 * Looks at the committed offsets of all groups, until the clients stop: everything before them must have been given to a client
 * of the group by then, because clients commit and acknowledge only what they have got.
 *
 * @param ascending whose clients commit nothing themselves: their offsets never go back
 */
async function checkAgainAndAgain(
  bootstrap: string,
  stage: Stage,
  groups: readonly GroupLog[],
  ascending: ReadonlySet<GroupLog>
): Promise<void> {
  const last = new Map<string, number>()
  await withAdmin(bootstrap, async admin => {
    while (!stage.isStopped) {
      for (const group of groups) {
        const [found] = await admin.fetchOffsets({ groupId: group.name, topics: [stage.topic] }).catch(() => [])
        for (const { partition, offset } of found?.partitions ?? []) {
          const place = `${group.name} ${partition}`
          const before = last.get(place) ?? -1
          if (ascending.has(group) && Number(offset) < before)
            stage.problem(`${group.name} has committed ${partition}/${offset} after ${before}`)
          last.set(place, Number(offset))
          const early = [...stage.written[partition]!].find(
            written => written < Number(offset) && !group.has(partition, written)
          )
          if (early !== undefined)
            stage.problem(`${group.name} has committed ${partition}/${offset} before it was given ${early}`)
        }
      }
      stage.commitChecks++
      await sleep(CHECK_PAUSE_MS)
    }
  })
}

/** One line about a run. */
export const describeRun = (result: TwoGatewaysResult): string => {
  const {
    written,
    kills,
    brokerKills,
    pauses,
    given,
    duplicates,
    longestPauseMs,
    acksElsewhere,
    acksRefused,
    commitChecks
  } = result
  return (
    `${written} records written, ${given} given out, ${duplicates} of them again; ${kills} kills of gateways, ${brokerKills} of brokers, ${pauses} pauses; ` +
    `longest pause of an instance ${(longestPauseMs / 1_000).toFixed(1)} s; ${acksElsewhere} acknowledged at the other gateway, ${acksRefused} acknowledgements refused; ` +
    `committed offsets compared ${commitChecks} times`
  )
}
