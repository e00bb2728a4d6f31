import { setTimeout as sleep } from 'node:timers/promises'
import type { OfferCheck } from '../../../support/offer-check.js'
import type { SeededRandom } from '../../../support/random.js'
import type { Asked, Member } from './members.js'

const BEHIND_FAILURE_MS = 200
/** More than a long poll and the five seconds for which a first answer is held. */
const LONGEST_ANSWER_MS = 30_000
const PROCESSING_MS = [0, 40] as const
/** One message in so many is never acknowledged, and so is offered again. */
const FORGOTTEN_ACKS = 50

export interface TeamOptions {
  readonly name: string
  readonly check: OfferCheck
  readonly random: SeededRandom
  readonly topics: readonly string[]
  /** With `latest`, the promise holds while the group keeps a member; one that begins at `earliest` needs none. */
  readonly start: 'latest' | 'earliest'
  readonly most: number
  readonly begin: (name: string) => Promise<Member>
  /** Resolves when a group may ask for a topic. */
  readonly mayAsk: (groupId: string, topic: string) => Promise<unknown>
  /** Told of every message, and of every failure. */
  readonly trace: (line: string) => void
}

interface Active {
  readonly member: Member
  readonly loops: Promise<unknown>[]
  /** Groups and topics whose requests it has answered. */
  readonly answered: Set<string>
  isOver: boolean
  /** Resolves {@link over}. */
  readonly end: () => void
  /** Resolves when the member ends. */
  readonly over: Promise<void>
}

/** Members of the same groups: they join, leave and are killed, and ask for all topics as long as they live. */
export class Team {
  readonly counts = { offered: 0, again: 0, nothing: 0, failed: 0, joined: 0, left: 0, killed: 0 }
  /** What requests failed with, and how often. */
  readonly failures = new Map<string, number>()
  /** Requests without an answer. */
  readonly unanswered: string[] = []
  readonly #options: TeamOptions
  #active: Active[] = []
  /** Groups and topics that somebody has asked for. */
  readonly #asked = new Set<string>()

  constructor(options: TeamOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }
  get size(): number {
    return this.#active.length
  }
  get isFull(): boolean {
    return this.size >= this.#options.most
  }

  async join(): Promise<void> {
    const { name, begin, topics } = this.#options
    const member = await begin(`${name}-${++this.counts.joined}`)
    let end = (): void => undefined
    const over = new Promise<void>(resolve => (end = resolve))
    const active: Active = { member, loops: [], answered: new Set(), isOver: false, end, over }
    this.#active.push(active)
    for (const groupId of member.asks.keys()) {
      for (const topic of topics) active.loops.push(this.#consume(active, groupId, topic))
    }
  }

  /** Ends a member that the groups can spare. @returns its name, if there is one */
  async end(how: 'leave' | 'kill'): Promise<string | undefined> {
    const spare = this.#active.filter(active => this.#canSpare(active))
    if (spare.length === 0) return undefined
    const active = this.#options.random.pick(spare)
    await this.#end(active, how)
    if (how === 'kill') this.counts.killed++
    else this.counts.left++
    return active.member.name
  }

  async close(): Promise<void> {
    await Promise.all([...this.#active].map(active => this.#end(active, 'leave')))
  }

  /** The promise ends with the last member of a group that has not committed, as after the deletion of a topic. */
  #canSpare(active: Active): boolean {
    if (this.#options.start === 'earliest') return true
    return this.#active.some(
      other => other !== active && [...this.#asked].every(question => other.answered.has(question))
    )
  }

  async #end(active: Active, how: 'leave' | 'kill'): Promise<void> {
    this.#active = this.#active.filter(other => other !== active)
    active.isOver = true
    active.end()
    await active.member[how]()
    await Promise.all(active.loops)
  }

  async #consume(active: Active, groupId: string, topic: string): Promise<void> {
    const { mayAsk, check } = this.#options
    await Promise.race([mayAsk(groupId, topic), active.over])
    const question = `${groupId} ${topic}`
    while (!active.isOver) {
      this.#asked.add(question)
      const waiting = active.member.asks.get(groupId)!(topic)
      const asked = await this.#answered<Asked>(`${question} ${active.member.name} asks`, waiting)
      if (asked === undefined) continue
      if (asked.type === 'failed') {
        this.#options.trace(`${question} ${active.member.name}: ${asked.why}`)
        await this.#failed(asked.why)
      } else {
        check.answered(groupId, topic, performance.now())
        active.answered.add(question)
        if (asked.type === 'message') {
          this.#options.trace(`${question} ${active.member.name} takes ${asked.place} ${asked.id}`)
          await this.#take(groupId, topic, asked)
        } else this.counts.nothing++
      }
    }
  }

  /** Every request is answered, that of a member that is killed meanwhile with a failure. */
  async #answered<Answer>(what: string, work: unknown): Promise<Answer | undefined> {
    const stop = new AbortController()
    const late = sleep(LONGEST_ANSWER_MS, 'late' as const, { signal: stop.signal }).catch(() => 'late' as const)
    const answer = await Promise.race([work, late])
    stop.abort()
    if (answer !== 'late') return answer as Answer
    this.#options.trace(`${what}: no answer`)
    this.unanswered.push(what)
    return undefined
  }

  async #failed(why: string): Promise<void> {
    this.counts.failed++
    this.failures.set(why, (this.failures.get(why) ?? 0) + 1)
    await sleep(BEHIND_FAILURE_MS)
  }

  async #take(groupId: string, topic: string, { id, ack }: Asked & { type: 'message' }): Promise<void> {
    const { check, random } = this.#options
    this.counts.offered++
    if (check.offered(groupId, topic, id)) this.counts.again++
    await sleep(random.between(...PROCESSING_MS))
    if (random.between(1, FORGOTTEN_ACKS) > 1) await this.#answered(`${groupId} ${topic} acknowledges ${id}`, ack())
    else this.#options.trace(`${groupId} ${topic} forgets to acknowledge ${id}`)
  }
}
