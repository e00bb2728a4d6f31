import type { AdminVerbs, GroupVerbs, InstanceVerbs, QueueVerbs, ShareGroupVerbs, Verbs } from './verbs.js'

/**
 * All members of an interface, those that may be absent included: a class that implements it does not compile without a line
 * for each of them.
 */
type Complete<Of> = { readonly [Name in keyof Required<Of>]: Of[Name] }

/** Replacements for parts of a cluster. Absent: the part of the cluster is used. */
export interface OtherParts {
  readonly groups?: GroupVerbs
  readonly instances?: InstanceVerbs
  readonly queues?: QueueVerbs
}

/** Passes every verb on to the cluster, or to the parts that replace it. Derived classes change some verbs. */
export class WrappedVerbs implements Complete<Verbs> {
  protected readonly own: Verbs
  readonly #others: OtherParts

  constructor(own: Verbs, others: OtherParts = {}) {
    this.own = own
    this.#others = others
  }

  get groups(): GroupVerbs {
    return this.#others.groups ?? this.own.groups
  }
  get instances(): InstanceVerbs {
    return this.#others.instances ?? this.own.instances
  }
  get queues(): QueueVerbs {
    return this.#others.queues ?? this.own.queues
  }
  get shareGroups(): ShareGroupVerbs {
    return this.own.shareGroups
  }
  get admin(): AdminVerbs {
    return this.own.admin
  }
  get isReady(): boolean {
    return this.own.isReady
  }

  produce(...asked: Parameters<Verbs['produce']>) {
    return this.own.produce(...asked)
  }
  lost(...asked: Parameters<Verbs['lost']>) {
    this.own.lost(...asked)
  }
  topics(...asked: Parameters<Verbs['topics']>) {
    return this.own.topics(...asked)
  }
  topicConfigs(...asked: Parameters<Verbs['topicConfigs']>) {
    return this.own.topicConfigs(...asked)
  }
  follow(...asked: Parameters<Verbs['follow']>) {
    return this.own.follow(...asked)
  }
  durableLog() {
    return this.own.durableLog()
  }
}

/** Passes every verb of groups on. */
export class WrappedGroups implements Complete<GroupVerbs> {
  protected readonly own: GroupVerbs

  constructor(own: GroupVerbs) {
    this.own = own
  }

  offsets(...asked: Parameters<GroupVerbs['offsets']>) {
    return this.own.offsets(...asked)
  }
  commit(...asked: Parameters<GroupVerbs['commit']>) {
    return this.own.commit(...asked)
  }
  consumers(...asked: Parameters<GroupVerbs['consumers']>) {
    return this.own.consumers(...asked)
  }
  describe(...asked: Parameters<GroupVerbs['describe']>) {
    return this.own.describe(...asked)
  }
  committed(...asked: Parameters<GroupVerbs['committed']>) {
    return this.own.committed(...asked)
  }
  consume(...asked: Parameters<GroupVerbs['consume']>) {
    return this.own.consume(...asked)
  }
  ack(...asked: Parameters<GroupVerbs['ack']>) {
    return this.own.ack(...asked)
  }
}

/** Passes every verb of queues on. */
export class WrappedQueues implements Complete<QueueVerbs> {
  protected readonly own: QueueVerbs

  constructor(own: QueueVerbs) {
    this.own = own
  }

  get holder(): string | undefined {
    return this.own.holder
  }

  acquire(...asked: Parameters<QueueVerbs['acquire']>) {
    return this.own.acquire(...asked)
  }
  takeBack(...asked: Parameters<QueueVerbs['takeBack']>) {
    this.own.takeBack(...asked)
  }
  settle(...asked: Parameters<QueueVerbs['settle']>) {
    return this.own.settle(...asked)
  }
  count(...asked: Parameters<NonNullable<QueueVerbs['count']>>) {
    this.own.count?.(...asked)
  }
  describe(...asked: Parameters<QueueVerbs['describe']>) {
    return this.own.describe(...asked)
  }
  configure(...asked: Parameters<QueueVerbs['configure']>) {
    return this.own.configure(...asked)
  }
}
