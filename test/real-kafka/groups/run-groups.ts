import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumerSettingsOverrides } from '../../../src/consumer/group/settings.js'
import { GroupInstance } from '../../support/group-instance.js'
import { SeededRandom } from '../../support/random.js'
import { freshTopic } from '../../support/target-cluster.js'
import type { KafkaCluster } from '../cluster.js'
import { kafkaFolder } from '../jars.js'
import { kill } from '../workspace.js'
import { Journals } from './journals.js'

const program = join(kafkaFolder, 'groups/consumer-process.mjs')
const LOOPS = 4
const BATCH = 500
const LOOK_EVERY_MS = 250
const CATCH_UP_MS = 120_000

export interface GroupRunOptions {
  readonly cluster: KafkaCluster
  readonly seed: number
  readonly records: number
  readonly partitions: number
  readonly processes: number
  /** How often a process is killed or told to leave, and replaced. */
  readonly processEnds: number
  readonly brokerKills: number
  readonly pauseMs: { readonly from: number; readonly to: number }
  readonly settings: ConsumerSettingsOverrides
  readonly say: (line: string) => void
}

export interface GroupRunResult {
  readonly problems: readonly string[]
  readonly summary: string
}

/**
 * A group whose processes are killed and replaced, on brokers that are killed, while records are produced. At the end each
 * record must have been processed, and what is committed must never have been ahead of it, nor have gone back.
 */
export async function runGroups(options: GroupRunOptions): Promise<GroupRunResult> {
  const run = new GroupRun(options)
  try {
    return await run.run()
  } finally {
    await run.close()
  }
}

class GroupRun {
  readonly #options: GroupRunOptions
  readonly #random: SeededRandom
  readonly #journals: Journals
  readonly #topic = freshTopic('groups')
  readonly #group = freshTopic('group')
  readonly #children: ChildProcess[] = []
  readonly #produced: number[]
  readonly #committed: number[]
  readonly #startedAt = performance.now()
  #started = 0
  #killed = 0
  #left = 0
  #brokersKilled = 0
  #looks = 0
  #isOver = false
  #producer!: GroupInstance

  constructor(options: GroupRunOptions) {
    this.#options = options
    this.#random = new SeededRandom(options.seed)
    this.#journals = new Journals(options.partitions)
    this.#produced = Array.from({ length: options.partitions }, () => 0)
    this.#committed = Array.from({ length: options.partitions }, () => 0)
  }

  async run(): Promise<GroupRunResult> {
    const { cluster, partitions, processes } = this.#options
    await cluster.createTopic(this.#topic, partitions)
    this.#producer = await GroupInstance.start(cluster.bootstrap)
    for (let at = 0; at < processes; at++) this.#children[at] = this.#startProcess()
    const looking = this.#keepLooking()
    await Promise.all([this.#produce(), this.#endProcesses(), this.#killBrokers()])
    await this.#catchUp()
    await Promise.all(this.#children.map(child => kill(child, 'SIGTERM')))
    this.#isOver = true
    await looking
    await this.#lookOnce()
    return { problems: [...this.#journals.problems, ...this.#missing()], summary: this.#summary() }
  }

  async close(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#children.map(child => kill(child, 'SIGKILL')))
    this.#journals.close()
    await this.#producer?.stop()
  }

  #startProcess(): ChildProcess {
    const { cluster, settings } = this.#options
    const name = `consumer-${++this.#started}`
    const journal = cluster.workspace.path(`${this.#group}-${name}.journal`)
    this.#journals.follow(name, journal)
    const args = [cluster.bootstrap, this.#group, this.#topic, journal, String(LOOPS), JSON.stringify(settings)]
    return cluster.workspace.start(`${this.#group}-${name}`, process.execPath, [program, ...args])
  }

  async #produce(): Promise<void> {
    const { records, partitions } = this.#options
    const each = Math.ceil(records / partitions)
    const produceTo = async (partition: number): Promise<void> => {
      while (this.#produced[partition]! < each) {
        const first = this.#produced[partition]!
        const count = Math.min(BATCH, each - first)
        const values = Array.from({ length: count }, (_, at) => `${partition}-${first + at}`)
        await this.#producer.produce(this.#topic, partition, values)
        this.#produced[partition] = first + count
      }
    }
    await Promise.all(this.#produced.map((_, partition) => produceTo(partition)))
    this.#say(`${each * partitions} records are produced`)
  }

  async #endProcesses(): Promise<void> {
    const { processEnds, pauseMs } = this.#options
    for (let ended = 0; ended < processEnds; ended++) {
      await sleep(this.#random.between(pauseMs.from, pauseMs.to))
      const at = this.#random.between(0, this.#children.length - 1)
      const isKilled = this.#random.next() < 0.75
      await kill(this.#children[at]!, isKilled ? 'SIGKILL' : 'SIGTERM')
      if (isKilled) this.#killed++
      else this.#left++
      this.#children[at] = this.#startProcess()
    }
    this.#say(`${this.#killed} processes were killed, ${this.#left} have left`)
  }

  async #killBrokers(): Promise<void> {
    const { cluster, brokerKills } = this.#options
    for (let killed = 0; killed < brokerKills; killed++) {
      await sleep(this.#random.between(1_000, 3_000))
      const nodeId = this.#random.pick(cluster.nodeIds)
      await cluster.signal(nodeId, 'SIGKILL')
      this.#brokersKilled++
      await sleep(this.#random.between(1_000, 3_000))
      cluster.startNode(nodeId)
      await cluster.healed(this.#topic)
    }
    this.#say(`${this.#brokersKilled} brokers were killed`)
  }

  async #catchUp(): Promise<void> {
    const wanted = this.#produced.reduce((sum, count) => sum + count, 0)
    for (const endsAt = performance.now() + CATCH_UP_MS; this.#journals.distinct < wanted; ) {
      if (performance.now() > endsAt) return
      await sleep(LOOK_EVERY_MS)
    }
    this.#say('every record was processed')
  }

  async #keepLooking(): Promise<void> {
    for (let said = 0; !this.#isOver; said++) {
      await this.#lookOnce().catch((error: Error) => this.#say(`no look at the offsets: ${error.message}`))
      if (said % 40 === 39) this.#say(`${this.#journals.distinct} processed, ${this.#journals.again} again`)
      await sleep(LOOK_EVERY_MS)
    }
  }

  /** What is committed was read first, so it must stand in the journals that are read then. */
  async #lookOnce(): Promise<void> {
    const offsets = await this.#producer.castellan.gateway.groups.offsets(this.#group, this.#topic, 20_000)
    this.#journals.read()
    this.#looks++
    const { problems, partitions } = this.#journals
    for (const { partition, committed } of offsets ?? []) {
      const offset = committed?.offset ?? 0
      const { contiguous } = partitions[partition]!
      if (offset > contiguous)
        problems.push(`${partition}: ${offset} is committed, but ${contiguous} was not processed`)
      const before = this.#committed[partition]!
      if (offset < before) problems.push(`${partition}: the commit went back from ${before} to ${offset}`)
      this.#committed[partition] = offset
    }
  }

  #missing(): string[] {
    return this.#produced.flatMap((produced, partition) => {
      const { count, contiguous } = this.#journals.partitions[partition]!
      const missing =
        count === produced ? [] : [`${partition}: ${count} of ${produced} processed, ${contiguous} is missing`]
      const committed = this.#committed[partition]!
      return committed === produced ? missing : [...missing, `${partition}: ${committed} of ${produced} committed`]
    })
  }

  #summary(): string {
    const { handled, distinct, again, retried } = this.#journals
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(0)
    return (
      `${distinct} records processed in ${seconds} s, ${again} of them again (${handled} in all, ${retried} retries); ` +
      `${this.#killed} processes killed, ${this.#left} left, ${this.#brokersKilled} brokers killed, ${this.#looks} looks at commits`
    )
  }

  #say(line: string): void {
    this.#options.say(line)
  }
}
