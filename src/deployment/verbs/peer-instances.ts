import { createHash } from 'node:crypto'
import { inTime } from '../../core/in-time.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import type {
  AskToRelease,
  InstanceName,
  InstanceRead,
  InstanceReadLimits,
  InstanceResult,
  InstanceTopics,
  InstanceVerbs,
  PlainInstanceVerb,
  Verbs
} from '../../verbs/verbs.js'
import { ask, inCluster, serve } from '../calls/call.js'
import type { AskedSubscription, Numbered, PlainCall } from '../calls/instance-calls.js'
import { isNotSent, isUnanswered, type PeerError, type Peers } from '../calls/peers.js'
import { heaviest } from '../calls/rendezvous.js'
import { CALLS } from '../calls/table.js'
import { BudgetForPeers } from './budget-for-peers.js'
import { KnownInstances } from './known-instances.js'
import { type AskOwner, ReadsAtOwners } from './reads-at-owners.js'
import { serveInstances } from './served-instances.js'

/** Time limit of the list of topics. */
const TOPICS_TIMEOUT_MS = 10_000
/**
 * The longest wait for the answer to the change of an instance that was passed on before. A connection may stand still for
 * longer, and the number says which of the two is late.
 */
const TURN_MS = 2_000
/** How often a verb is asked for whose instance changes meanwhile, or is taken over by another process. */
const MAX_LOOKS = 8

/** The verbs that change an instance, beside `subscribe`. */
const CHANGES: ReadonlySet<PlainInstanceVerb> = new Set(['create', 'remove', 'unsubscribe', 'assign', 'seek', 'commit'])

const UNKNOWN = { type: 'unknownInstance' } as const
// The next two are told from the owner's own answer by their identity, and are given to no client.
/** The result of a call to a process that is gone. */
const GONE = { type: 'unknownInstance' } as const
/** The result of a call that was not sent. */
const NOT_ASKED = { type: 'unknownInstance' } as const
const AWAY = ownFailure('timedOut', 'the process that has the instance does not answer', true)
/** The result of a verb whose first attempt had no answer, when the state that is found may come from that attempt. */
const IN_DOUBT = ownFailure('timedOut', 'an attempt had no answer, and the request may have been carried out', true)

/** Results that say that another client made the change, of verbs for which an attempt without an answer may have. */
const isOfOther: { readonly [Verb in PlainInstanceVerb]?: (result: InstanceResult<unknown>) => boolean } = {
  create: result => result.type === 'done' && result.value === false,
  remove: result => result.type === 'unknownInstance'
}

/** How a verb is carried out in this process, and in another one. */
interface PlannedVerb<Id, Result> {
  readonly here: (named: InstanceName) => Promise<Result>
  readonly there: (owner: Id, named: InstanceName) => Promise<Numbered<Result>>
}

/**
 * The process that has to have an instance, of those that can be called; `undefined`: there is none.
 *
 * @param away these have not answered
 */
export type OwnerOfInstance<Id> = (instance: InstanceName, away: ReadonlySet<Id>) => Id | undefined

/**
 * The owner follows from the names of the instance and from who can be called: when a process is gone, its instances
 * belong to others at once. Before a new owner continues an instance, it asks the former one to give it up.
 */
export function hashedOwner<Id extends number | string>(
  { owners }: InstanceVerbs,
  cluster: string,
  peers: Peers<Id>
): OwnerOfInstance<Id> {
  const release = inCluster(CALLS.instances.release, cluster)
  serve(peers, release, instance => owners?.release(instance) ?? false)
  const askToRelease: AskToRelease = async (owner, instance, number) => {
    const former = peers.others.find(id => String(id) === owner)
    if (former === undefined) return false
    return ask(peers, former, release, passedOn(instance, number, false)).catch(() => false)
  }
  owners?.identify(String(peers.id), askToRelease)
  return (instance, away) =>
    ownerAmong(
      [peers.id, ...peers.others].filter(id => !away.has(id)),
      cluster,
      instance
    )
}

/**
 * The owner of an instance among processes, which are known by their ids. Each process tells its id itself, whatever addresses
 * lead to it.
 */
export const ownerAmong = <Id extends number | string>(
  ids: readonly Id[],
  cluster: string,
  { groupId, name }: InstanceName
) => {
  const key = JSON.stringify([cluster, groupId, name])
  return heaviest(ids, id => createHash('sha256').update(`${id} ${key}`).digest('hex'))
}

/** The name of an instance in a call, which says what it is meant for. */
function passedOn(
  { groupId, name, principal, api }: InstanceName,
  number: string | undefined,
  isRepeated: boolean
): InstanceName {
  return { groupId, name, principal, api, attempt: { number, isPassedOn: true, isRepeated } }
}

/**
 * The verbs of instances when each instance has an owner among several processes. The owner has the instance; all other
 * processes find it for each verb, and pass the verb on to it.
 */
export class PeerInstances<Id> implements InstanceVerbs {
  readonly #own: Verbs
  readonly #cluster: string
  readonly #peers: Peers<Id>
  readonly #ownerOf: OwnerOfInstance<Id>
  readonly #known = new KnownInstances()
  readonly #reads: ReadsAtOwners<Id>

  constructor(own: Verbs, cluster: string, peers: Peers<Id>, ownerOf: OwnerOfInstance<Id>, records: RecordBudget) {
    this.#own = own
    this.#cluster = cluster
    this.#peers = peers
    this.#ownerOf = ownerOf
    // The owner may have answered all the same.
    const isOpen = (result: unknown): boolean => result === AWAY || result === GONE || result === NOT_ASKED
    this.#reads = new ReadsAtOwners(this.#ask, new BudgetForPeers(records), isOpen)
    serveInstances(own.instances, cluster, peers)
  }

  async create(...asked: Parameters<InstanceVerbs['create']>) {
    const result = await this.#plain('create', asked)
    return result.type === 'unknownInstance' ? AWAY : result
  }
  settingsOf(...asked: Parameters<InstanceVerbs['settingsOf']>) {
    return this.#plain('settingsOf', asked)
  }
  remove(...asked: Parameters<InstanceVerbs['remove']>) {
    return this.#plain('remove', asked)
  }
  subscription(...asked: Parameters<InstanceVerbs['subscription']>) {
    return this.#plain('subscription', asked)
  }
  unsubscribe(...asked: Parameters<InstanceVerbs['unsubscribe']>) {
    return this.#plain('unsubscribe', asked)
  }
  assign(...asked: Parameters<InstanceVerbs['assign']>) {
    return this.#plain('assign', asked)
  }
  assignment(...asked: Parameters<InstanceVerbs['assignment']>) {
    return this.#plain('assignment', asked)
  }
  describe(...asked: Parameters<InstanceVerbs['describe']>) {
    return this.#plain('describe', asked)
  }
  seek(...asked: Parameters<InstanceVerbs['seek']>) {
    return this.#plain('seek', asked)
  }
  commit(...asked: Parameters<InstanceVerbs['commit']>) {
    return this.#plain('commit', asked)
  }
  committed(...asked: Parameters<InstanceVerbs['committed']>) {
    return this.#plain('committed', asked)
  }

  /** Carries out a verb whose arguments and result are plain data. */
  #plain<Verb extends PlainInstanceVerb>(
    verb: Verb,
    [instance, ...rest]: Parameters<InstanceVerbs[Verb]>
  ): ReturnType<InstanceVerbs[Verb]> {
    const { instances } = this.#own
    const call: PlainCall = CALLS.instances[verb]
    const method = instances[verb] as (...args: unknown[]) => Promise<InstanceResult<unknown>>
    const planned: PlannedVerb<Id, InstanceResult<unknown>> = {
      here: named => method.call(instances, named, ...rest),
      there: (owner, named) => this.#ask(owner, call, [named, ...rest])
    }
    const work = () => this.#atOwner(instance, planned, isOfOther[verb])
    const result = CHANGES.has(verb) ? this.#inTurn(instance, work) : work()
    return result as ReturnType<InstanceVerbs[Verb]>
  }

  subscribe(instance: InstanceName, topics: InstanceTopics): Promise<InstanceResult<void>> {
    const planned: PlannedVerb<Id, InstanceResult<void>> = {
      here: named => this.#own.instances.subscribe(named, topics),
      there: async (owner, named) => {
        const sent = 'topics' in topics ? { topics: topics.topics } : { pattern: topics.pattern }
        const body: AskedSubscription = { instance: named, topics: sent, allowed: await this.#allowedIn(topics) }
        return this.#ask(owner, CALLS.instances.subscribe, body)
      }
    }
    return this.#inTurn(instance, () => this.#atOwner(instance, planned))
  }

  read(instance: InstanceName, limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>> {
    return this.#atOwner<InstanceResult<InstanceRead>>(instance, {
      here: named => this.#own.instances.read(named, limits),
      there: (owner, named) => this.#reads.read(owner, named, limits)
    })
  }

  /**
   * Passes changes of an instance on one after another: of several that name the same number, the owner takes the first one
   * only, and all others would be asked for again.
   */
  #inTurn<Result>(instance: InstanceName, work: () => Promise<Result | Failure>): Promise<Result | Failure> {
    if (this.#ownerOf(instance, new Set()) === this.#peers.id) return work()
    const known = this.#known.of(instance)
    const turn = inTime(known.turn, TURN_MS, () => undefined).then(() =>
      instance.isWanted?.() === false ? AWAY : work()
    )
    known.turn = turn.catch(() => undefined)
    return turn
  }

  /** Carries out a verb at the owner. Where that does not answer, or stops, another process is the owner. */
  async #atOwner<Result extends { readonly type: string }>(
    instance: InstanceName,
    verb: PlannedVerb<Id, Result>,
    isOfOther?: (result: Result) => boolean
  ): Promise<Result | typeof UNKNOWN | Failure> {
    const away = new Set<Id>()
    // A process that is gone has lost its instances, unless their states are in Kafka: its successor continues them.
    let refusal: Result | typeof UNKNOWN | Failure = this.#own.instances.owners ? AWAY : UNKNOWN
    /** An owner that was asked may have carried the verb out, so what another one finds may be of this very request. */
    let isDoubtful = false
    const inDoubtIf = <Found extends Result | typeof UNKNOWN | Failure>(found: Found) =>
      isDoubtful && isOfOther?.(found as Result) ? IN_DOUBT : found
    for (let looks = 1; ; looks++) {
      const id = this.#ownerOf(instance, away)
      if (id === undefined) return inDoubtIf(refusal)
      const result = await this.#attempt(id, instance, verb)
      const { code } = result as Partial<Failure>
      if (result === GONE || result === NOT_ASKED) {
        away.add(id)
        isDoubtful ||= result === GONE
      } else if (code === 'shuttingDown') {
        away.add(id)
        refusal = result
      }
      // The instance has changed, or another process has taken it over, while the verb was open.
      else if (code !== 'clusterChanged' || looks >= MAX_LOOKS) {
        return inDoubtIf(result)
      }
      // A client that has left may have gone on elsewhere: what it asked for is late.
      if (instance.isWanted?.() === false) return refusal
    }
  }

  /** Carries out one attempt, and takes note of the number that the owner answers. */
  async #attempt<Result extends { readonly type: string }>(
    id: Id,
    instance: InstanceName,
    verb: PlannedVerb<Id, Result>
  ): Promise<Result | typeof GONE | Failure> {
    const known = this.#known.of(instance)
    const isRepeated = known.isUnanswered
    if (id === this.#peers.id) {
      const named = isRepeated ? { ...instance, attempt: { isPassedOn: false, isRepeated } } : instance
      const result = await verb.here(named)
      if (result.type === 'done') known.isUnanswered = false
      return result
    }
    const named = passedOn(instance, known.number, isRepeated)
    const answer: Numbered<{ readonly type: string }> = await verb.there(id, named)
    if (answer === AWAY || answer === GONE) known.isUnanswered = true
    const { number, ...result } = answer
    if (number === undefined) return answer as Result
    known.number = number
    if (result.type === 'done') known.isUnanswered = false
    return result as Result
  }

  readonly #ask: AskOwner<Id> = async (to, call, question, options) => {
    try {
      return await ask(this.#peers, to, inCluster(call, this.#cluster), question, options)
    } catch (error) {
      if (isNotSent(error)) return NOT_ASKED
      if (isUnanswered(error)) return GONE
      return (error as PeerError).cause === undefined
        ? AWAY
        : ownFailure('overloaded', (error as PeerError).message, true)
    }
  }

  /** The names that a client may read now. Topics that are created later match only a later subscription. */
  async #allowedIn(topics: InstanceTopics): Promise<readonly string[] | undefined> {
    if ('topics' in topics || !topics.includes) return undefined
    return [...(await this.#own.topics('all', TOPICS_TIMEOUT_MS)).keys()].filter(topics.includes)
  }
}
