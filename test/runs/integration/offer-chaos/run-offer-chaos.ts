import { setTimeout as sleep } from 'node:timers/promises'
import { type Castellan, startCastellan } from '../../../support/castellan.js'
import { OfferCheck } from '../../../support/offer-check.js'
import { SeededRandom, shuffled } from '../../../support/random.js'
import { freshTopic, type TargetCluster } from '../../../support/target-cluster.js'
import { Workspace } from '../../real-kafka/workspace.js'
import { ChaosTopic } from './chaos-topic.js'
import { gatewayMember, libraryMember } from './members.js'
import { Team } from './team.js'

/** How long messages may take to be offered once everything is well. Sessions of killed members end meanwhile. */
/** For the next promised record: on a busy machine a group needs minutes for all of them. */
const CATCH_UP_MS = 60_000
const FIRST_ANSWERS_MS = 60_000
const LOOK_EVERY_MS = 250
const LONG_POLL_MS = [200, 2_000] as const

export interface OfferChaosOptions {
  readonly cluster: TargetCluster
  readonly seed: number
  /** How often each kind of trouble comes. */
  readonly rounds: number
  readonly say: (line: string) => void
}

export interface OfferChaosResult {
  readonly problems: readonly string[]
  readonly summary: string
}

/**
 * Groups that ask for topics before these exist, over every API, while topics are created, grown, deleted, created anew and
 * lose ends of their logs, brokers are lost, and members join, leave and are killed. In the end every acknowledged record
 * that is in the logs must have been offered to each group whose first request for the topic was answered before.
 */
export async function runOfferChaos(options: OfferChaosOptions): Promise<OfferChaosResult> {
  const writer = await startCastellan(options.cluster.bootstrap, {
    createTopics: false,
    router: { unknownTopicRememberedMs: 50, metadataMaxAgeMs: 400 }
  })
  const run = new OfferChaos(options, writer)
  try {
    return await run.run()
  } finally {
    await run.close()
    await writer.close()
  }
}

class OfferChaos {
  readonly #options: OfferChaosOptions
  readonly #random: SeededRandom
  readonly #check = new OfferCheck()
  readonly #workspace = new Workspace()
  readonly #problems: string[] = []
  readonly #startedAtMs = performance.now()
  readonly #topics: ReadonlyMap<'growing' | 'invented' | 'mortal' | 'cut', ChaosTopic>
  readonly #teams: readonly Team[]
  readonly #groups: readonly string[]
  /** Some groups ask for a topic for the first time only when it has seen some trouble. */
  readonly #lateComers = new Set<string>()
  #letLateComersAsk!: () => void
  readonly #late = new Promise<void>(resolve => (this.#letLateComersAsk = resolve))
  readonly #traced: string[] = []
  #isOver = false
  #promised = 0

  constructor(options: OfferChaosOptions, writer: Castellan) {
    this.#options = options
    const { cluster, seed } = options
    this.#random = new SeededRandom(seed)
    const check = this.#check
    const randomOf = (): SeededRandom => new SeededRandom(this.#random.between(1, 1e9))
    const names = ['growing', 'invented', 'mortal', 'cut'] as const
    this.#topics = new Map(
      names.map(name => [name, new ChaosTopic({ name: freshTopic(name), cluster, writer, check, random: randomOf() })])
    )
    const topics = [...this.#topics.values()].map(({ name }) => name)
    const groups: string[] = []
    const team = (name: string, start: 'latest' | 'earliest', most: number, begin: TeamBegin, apis: string[]): Team => {
      const random = randomOf()
      const ofTeam = apis.map(api => freshTopic(`${api}-${start}`))
      groups.push(...ofTeam)
      return new Team({
        name,
        check,
        random,
        topics,
        start,
        most,
        begin: memberName => begin({ name: memberName, bootstrap: cluster.bootstrap, start }, ofTeam, random),
        mayAsk: (groupId, topic) => this.#mayAsk(groupId, topic),
        trace: line => this.#traced.push(this.#timed(line))
      })
    }
    const gateway: TeamBegin = (member, [http, grpc]) => gatewayMember(member, this.#workspace, http!, grpc!)
    const library: TeamBegin = (member, [group], random) =>
      libraryMember(member, group!, () => random.between(...LONG_POLL_MS))
    this.#teams = [
      team('gateways', 'latest', 2, gateway, ['http', 'grpc']),
      team('old-gateways', 'earliest', 1, gateway, ['http', 'grpc']),
      team('processes', 'latest', 3, library, ['library']),
      team('old-processes', 'earliest', 2, library, ['library'])
    ]
    this.#groups = groups
    for (const groupId of groups) {
      for (const topic of topics) if (this.#random.next() < 0.2) this.#lateComers.add(`${groupId} ${topic}`)
    }
  }

  async run(): Promise<OfferChaosResult> {
    await Promise.all(this.#teams.map(team => team.join()))
    for (const topic of this.#topics.values()) topic.startWriting()
    await this.#firstAnswers(question => !this.#lateComers.has(question))
    const members = this.#troubleMembers()
    await this.#createTopics()
    await this.#troubleCluster()
    this.#isOver = true
    await members
    await this.#recovered()
    for (const topic of this.#topics.values()) await topic.writeLast()
    await Promise.all([...this.#topics.values()].map(topic => topic.stopWriting()))
    await Promise.all([...this.#topics.values()].map(topic => this.#examine(topic)))
    for (const { unanswered } of this.#teams) this.#problems.push(...unanswered.map(what => `never answered: ${what}`))
    return { problems: this.#problems, summary: this.#summary() }
  }

  async close(): Promise<void> {
    this.#isOver = true
    this.#letLateComersAsk()
    await Promise.all([...this.#topics.values()].map(topic => topic.stopWriting()))
    await Promise.all(this.#teams.map(team => team.close()))
    await this.#workspace.close()
  }

  async #mayAsk(groupId: string, topic: string): Promise<void> {
    if (this.#lateComers.has(`${groupId} ${topic}`)) await this.#late
  }

  async #firstAnswers(isWanted: (question: string) => boolean): Promise<void> {
    const topics = [...this.#topics.values()].map(({ name }) => name)
    const open = (): string[] =>
      this.#groups.flatMap(group =>
        topics
          .filter(topic => isWanted(`${group} ${topic}`) && !this.#check.isAnswered(group, topic))
          .map(topic => `${group} ${topic}`)
      )
    for (const endsAt = performance.now() + FIRST_ANSWERS_MS; open().length > 0; await sleep(LOOK_EVERY_MS)) {
      if (performance.now() > endsAt) throw new Error(`never answered: ${open().join(', ')}`)
    }
    this.#say('the groups have been answered for the first time')
  }

  async #createTopics(): Promise<void> {
    const births = shuffled([...this.#topics], this.#random.between(1, 1e9))
    for (const [name, topic] of births) {
      await sleep(this.#random.between(0, 800))
      if (name === 'invented') await topic.createByWriting()
      else await topic.create(name === 'growing' ? 1 : this.#random.between(2, 4))
      this.#say(`${name} is created with ${topic.partitions} partitions`)
    }
  }

  async #troubleCluster(): Promise<void> {
    const kinds: readonly [string, () => Promise<string>][] = [
      ['grow', () => this.#grow()],
      ['recreate', () => this.#recreate(false)],
      ['recreate', () => this.#recreate(true)],
      ['cut', () => this.#cut()],
      ['move', () => this.#moveLeader()],
      ['kill', () => this.#loseNode('kill')],
      ['pause', () => this.#loseNode('pause')]
    ]
    const plan = Array.from({ length: this.#options.rounds }, () =>
      shuffled(kinds, this.#random.between(1, 1e9))
    ).flat()
    for (const [at, [kind, strike]] of plan.entries()) {
      await sleep(this.#random.between(300, 2_000))
      if (at === Math.floor(plan.length / 2)) this.#letLateComersAsk()
      this.#say(`${kind}: ${await strike()}`)
      await this.#recovered()
    }
  }

  async #grow(): Promise<string> {
    const topic = this.#topics.get(this.#random.pick(['growing', 'invented'] as const))!
    await topic.grow(this.#random.between(1, 2))
    return `${topic.name} has ${topic.partitions} partitions`
  }

  /** Always with another number of partitions, by which brokers that are behind show the former topic. */
  async #recreate(isExaminedBefore: boolean): Promise<string> {
    const topic = this.#topics.get('mortal')!
    const before = topic.partitions
    if (isExaminedBefore) await topic.whileHeld(() => this.#examine(topic))
    await topic.delete()
    await sleep(this.#random.between(0, 1_500))
    await topic.create(this.#random.pick([1, 2, 3, 4, 5].filter(count => count !== before)))
    const how = isExaminedBefore ? 'after all had been offered' : 'at once'
    return `${topic.name} has ${topic.partitions} instead of ${before} partitions, ${how}`
  }

  async #cut(): Promise<string> {
    const topic = this.#topics.get('cut')!
    const partition = this.#random.between(0, topic.partitions - 1)
    await topic.loseEnd(partition)
    return `${topic.name}/${partition} has lost its end`
  }

  async #moveLeader(): Promise<string> {
    const { cluster } = this.#options
    const topic = this.#topics.get(this.#random.pick(['growing', 'mortal'] as const))!
    const partition = this.#random.between(0, topic.partitions - 1)
    const leader = await cluster.leaderOf(topic.name, partition)
    const next = this.#random.pick(cluster.nodeIds.filter(id => id !== leader))
    await cluster.moveLeader(topic.name, partition, next)
    return `${topic.name}/${partition} from ${leader} to ${next}`
  }

  async #loseNode(how: 'kill' | 'pause'): Promise<string> {
    const { cluster } = this.#options
    const node = this.#random.pick(cluster.nodeIds)
    await (how === 'kill' ? cluster.killNode(node) : cluster.pauseNode(node))
    await sleep(this.#random.between(1_000, 4_000))
    await (how === 'kill' ? cluster.reviveNode(node) : cluster.resumeNode(node))
    return `node ${node}`
  }

  async #recovered(): Promise<void> {
    await this.#options.cluster.recovered([...this.#topics.values()].map(({ name }) => name))
  }

  async #troubleMembers(): Promise<void> {
    while (!this.#isOver) {
      await sleep(this.#random.between(500, 3_000))
      const team = this.#random.pick(this.#teams)
      if (!team.isFull && this.#random.next() < 0.6) await this.#joins(team)
      else {
        const how = this.#random.next() < 0.6 ? 'kill' : 'leave'
        const ended = await team.end(how)
        if (ended !== undefined) this.#say(`${how}: ${ended}`)
        if (team.size === 0) await this.#joins(team)
      }
    }
  }

  async #joins(team: Team): Promise<void> {
    await team.join()
    this.#say(`join: ${team.name} are ${team.size}`)
  }

  /** While nothing is written to it: waits until everything that is promised is offered, and tells what was not. */
  async #examine(topic: ChaosTopic): Promise<void> {
    const log = await topic.log()
    this.#problems.push(...topic.lostFrom(log).map(what => `lost although acknowledged: ${what}`))
    const missing = (): string[] =>
      this.#groups.flatMap(group =>
        this.#check.missing(group, topic.name, log).map(what => `never offered to ${group}: ${what}`)
      )
    let least = Number.POSITIVE_INFINITY
    let endsAt = 0
    for (let left = missing(); left.length > 0; await sleep(LOOK_EVERY_MS), left = missing()) {
      if (left.length < least) endsAt = performance.now() + CATCH_UP_MS
      least = Math.min(least, left.length)
      if (performance.now() < endsAt) continue
      this.#problems.push(...left)
      for (const group of this.#groups) {
        if (this.#check.missing(group, topic.name, log).length === 0) continue
        for (const line of this.#traced) if (line.includes(`${group} ${topic.name}`)) this.#options.say(line)
      }
      break
    }
    for (const group of this.#groups) this.#promised += this.#check.promised(group, topic.name, log).length
  }

  #summary(): string {
    const seconds = ((performance.now() - this.#startedAtMs) / 1_000).toFixed(0)
    const teams = this.#teams.map(({ name, counts, failures }) => {
      const mostFailures = [...failures].sort((one, other) => other[1] - one[1]).slice(0, 3)
      return `  ${name}: ${JSON.stringify(counts)} ${JSON.stringify(mostFailures)}`
    })
    return [`${this.#promised} records promised and examined in ${seconds} s`, ...teams].join('\n')
  }

  #say(line: string): void {
    this.#options.say(this.#timed(line))
  }

  #timed(line: string): string {
    return `${((performance.now() - this.#startedAtMs) / 1_000).toFixed(3)} s  ${line}`
  }
}

type TeamBegin = (
  member: { readonly name: string; readonly bootstrap: string; readonly start: 'latest' | 'earliest' },
  groups: readonly string[],
  random: SeededRandom
) => ReturnType<typeof libraryMember>
