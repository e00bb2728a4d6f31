import type {
  Gateway,
  InstanceGateway,
  InstanceName,
  InstanceRead,
  InstanceReadLimits,
  InstanceRecord,
  InstanceResult,
  InstanceSettings,
  InstanceTopics
} from '../../gateway/gateway.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { isAway, type PeerError, type Peers } from './peers.js'

/** Time limit of verbs that make requests to Kafka; those have shorter ones. */
const VERB_TIMEOUT_MS = 60_000
/** Limit of the records of one forwarded read, because they are copied twice on their way. */
const MAX_READ_BYTES = 4 * 1024 * 1024
/** Time limit of the question who has an instance. */
const SEARCH_MS = 2_000
/** Pause before another attempt to reach the owner of an instance. Longer than between two look-ups of all gateways. */
const PAUSE_MS = 300
/** How often the owner of an instance is told how a read has ended, until it answers. */
const MAX_SETTLES = 20
/** How often the owner of an instance is looked for, for one verb. */
const MAX_LOOKS = 4
/** Instances whose owners are remembered. */
const MAX_REMEMBERED = 50_000
/** Time limit of calls that make no requests to Kafka, and of the list of topics. */
const SHORT_TIMEOUT_MS = 10_000

const UNKNOWN = { type: 'unknownInstance' } as const
/** The result of a call to a process that is gone. */
const GONE = { type: 'unknownInstance' } as const
const AWAY = ownFailure('timedOut', 'the process that has the instance does not answer', true)

/** The verbs whose arguments and results are plain data. */
type PlainVerb = Exclude<keyof InstanceGateway, 'read' | 'subscribe' | 'owners'>

interface AskedRead {
  readonly instance: InstanceName
  readonly limits: Omit<InstanceReadLimits, 'gone'>
  /** Number of the read, unique at its caller. */
  readonly id: number
}
interface ReadAnswer {
  readonly records: readonly InstanceRecord[]
}
/** How far the client of a read has got its answer; 0 also for a read whose client is gone. */
interface Settled {
  readonly id: number
  readonly accepted: number
}
/** A subscription. The client may read only `allowed` of the topics that match; absent: all of them. */
interface AskedSubscription {
  readonly instance: InstanceName
  readonly topics: { readonly topics: readonly string[] } | { readonly pattern: string }
  readonly allowed: readonly string[] | undefined
}

interface Found<Id> {
  readonly type: 'found'
  readonly id: Id
}

/** Which process has an instance. */
export interface OwnersOfInstances<Id> {
  /** The process that has the instance, or continues it; `undefined`: there is none. */
  find(instance: InstanceName): Promise<Found<Id> | Failure | undefined>
  /** The process that has to create the instance, unless another one has it already. */
  creatorOf(instance: InstanceName): Promise<Found<Id> | Failure | 'exists'>
  /** Called when the process that was found does not have the instance. Returns true when another look may find it. */
  mistaken(instance: InstanceName, id: Id): boolean
}

/** The owner of each instance follows from its name. */
export const fixedOwners = <Id>(ownerOf: (instance: InstanceName) => Id): OwnersOfInstances<Id> => ({
  find: async instance => found(ownerOf(instance)),
  creatorOf: async instance => found(ownerOf(instance)),
  mistaken: () => false
})

const pause = (): Promise<void> => new Promise(resolve => setTimeout(resolve, PAUSE_MS))

const found = <Id>(id: Id): Found<Id> => ({ type: 'found', id })

/**
 * Each instance belongs to the process that has created it; the others are asked for it, and remember who has it. If the
 * states of instances are in Kafka, a process continues the instances of one that is gone. Otherwise these end, and two
 * processes that create the same instance at the same moment both have it: each serves its own.
 */
export function foundOwners<Id>(
  instances: Pick<InstanceGateway, 'settingsOf' | 'owners'>,
  cluster: string,
  peers: Peers<Id>
): OwnersOfInstances<Id> {
  const message = `instance here ${cluster}`
  const { owners } = instances
  owners?.identify(String(peers.id))
  const remembered = new Map<string, Id>()
  const isHere = async (instance: InstanceName): Promise<boolean> =>
    owners ? owners.has(instance) : (await instances.settingsOf(instance)).type === 'done'
  // The own instances answer, so a question is not passed on again.
  peers.serve(message, body => isHere(body as InstanceName))
  /** Whether a process has an instance. One that is late may have it. */
  const isAt = (id: Id, instance: InstanceName): Promise<boolean> =>
    peers.call(id, message, instance, { timeoutMs: SEARCH_MS }).then(
      answer => answer === true,
      error => !isAway(error)
    )
  const askOthers = (instance: InstanceName): Promise<Id | undefined> =>
    new Promise(resolve => {
      const { others } = peers
      const asked = others.map(async id => {
        const isThere = await peers.call(id, message, instance, { timeoutMs: SEARCH_MS }).catch(() => false)
        if (isThere === true) resolve(id)
      })
      void Promise.all(asked).then(() => resolve(undefined))
    })
  const keyOf = ({ groupId, name }: InstanceName): string => JSON.stringify([groupId, name])
  /** The owner by the states in Kafka. */
  const storedOwner = async (instance: InstanceName): Promise<Found<Id> | Failure | undefined> => {
    const owner = await owners?.ownerOf(instance)
    if (!owner || 'type' in owner) return owner
    if (owner.id === String(peers.id)) return found(peers.id)
    const id = owner.id as Id
    // A call to a process that is not known yet looks for it, but not at once again.
    const isThere = (await isAt(id, instance)) || (await pause().then(() => isAt(id, instance)))
    return found(isThere ? id : peers.id)
  }
  const find = async (instance: InstanceName): Promise<Found<Id> | Failure | undefined> => {
    if (await isHere(instance)) return found(peers.id)
    const key = keyOf(instance)
    const known = remembered.get(key)
    if (known !== undefined && peers.others.includes(known)) return found(known)
    const stored = await storedOwner(instance)
    const owner = stored?.type === 'found' ? stored.id : await askOthers(instance)
    remembered.delete(key)
    if (owner === undefined) return stored
    if (owner !== peers.id) remembered.set(key, owner)
    if (remembered.size > MAX_REMEMBERED) remembered.delete(remembered.keys().next().value!)
    return found(owner)
  }
  return {
    find,
    creatorOf: async instance => {
      const owner = await find(instance)
      return owner?.type === 'found' ? 'exists' : (owner ?? found(peers.id))
    },
    mistaken: (instance, id) => {
      const key = keyOf(instance)
      if (remembered.get(key) === id) remembered.delete(key)
      return true
    }
  }
}

/**
 * The verbs of instances when each instance has an owner among several processes. The owner has the instance; all other
 * processes pass the verbs on to it.
 */
export function peerInstances<Id>(
  own: Pick<Gateway, 'instances' | 'topics'>,
  cluster: string,
  peers: Peers<Id>,
  owners: OwnersOfInstances<Id>
): InstanceGateway {
  const { instances } = own
  serveInstances(instances, cluster, peers)
  let lastId = 0
  const call = async (to: Id, verb: string, body: object, timeoutMs: number, principal?: string): Promise<unknown> => {
    try {
      return await peers.call(to, `instance ${verb} ${cluster}`, body, { timeoutMs, principal })
    } catch (error) {
      if (isAway(error)) return GONE
      return (error as PeerError).cause === undefined
        ? AWAY
        : ownFailure('overloaded', (error as PeerError).message, true)
    }
  }
  /** Attempts that wait to tell an owner how a read has ended. */
  const waiting = new Set<{ readonly to: Id; readonly timer: NodeJS.Timeout }>()
  peers.onGone(id => {
    for (const one of waiting) {
      if (one.to !== id) continue
      clearTimeout(one.timer)
      waiting.delete(one)
    }
  })
  /** Tells the owner how a read has ended. Until then the owner answers no other read of the instance. */
  const settleAt = async (to: Id, settled: Settled, tries = 1): Promise<void> => {
    const result = await call(to, 'settle', settled, SHORT_TIMEOUT_MS)
    const isLost = result === AWAY || result === GONE || (result as Partial<Failure> | undefined)?.type === 'failed'
    if (!isLost || tries === MAX_SETTLES) return
    const again = (): void => {
      waiting.delete(attempt)
      void settleAt(to, settled, tries + 1)
    }
    const attempt = { to, timer: setTimeout(again, PAUSE_MS) }
    waiting.add(attempt)
  }
  /** Carries out a verb at the owner. When a remembered owner no longer has the instance, looks for it once more. */
  const atOwner = async <Result extends { readonly type: string }>(
    instance: InstanceName,
    here: () => Promise<Result>,
    there: (owner: Id) => Promise<Result>
  ): Promise<Result | typeof UNKNOWN | Failure> => {
    for (let looks = 1; ; looks++) {
      const owner = await owners.find(instance)
      if (owner === undefined) return UNKNOWN
      if (owner.type === 'failed') return owner
      const { id } = owner
      const result = await (id === peers.id ? here() : there(id))
      // Another process has taken the instance over while the verb was open here.
      const isLost = (result as Partial<Failure>).code === 'clusterChanged'
      const isElsewhere = result.type === 'unknownInstance' && id !== peers.id && owners.mistaken(instance, id)
      if ((isLost || isElsewhere) && looks < MAX_LOOKS) continue
      // A process that is gone has lost its instances, unless their states are in Kafka: its successor continues them.
      return result === GONE && instances.owners ? AWAY : result
    }
  }
  const passed =
    <Verb extends PlainVerb>(verb: Verb) =>
    (...args: Parameters<InstanceGateway[Verb]>): ReturnType<InstanceGateway[Verb]> => {
      const method = instances[verb] as (...args: unknown[]) => Promise<InstanceResult<never>>
      const here = (): Promise<InstanceResult<never>> => method.apply(instances, args)
      const there = (owner: Id): Promise<InstanceResult<never>> =>
        call(owner, verb, args, VERB_TIMEOUT_MS, args[0].principal) as Promise<InstanceResult<never>>
      return atOwner(args[0], here, there) as ReturnType<InstanceGateway[Verb]>
    }
  /** The names that a client may read now. Topics that are created later match only a later subscription. */
  const allowedIn = async (topics: InstanceTopics): Promise<readonly string[] | undefined> => {
    if ('topics' in topics || !topics.includes) return undefined
    return [...(await own.topics('all', SHORT_TIMEOUT_MS)).keys()].filter(topics.includes)
  }
  const longestWait = async (instance: InstanceName, owner: Id): Promise<number> => {
    const settings = (await call(owner, 'settingsOf', [instance], SHORT_TIMEOUT_MS)) as InstanceResult<InstanceSettings>
    return settings.type === 'done' ? settings.value.maxWaitMs : 0
  }
  const readAt = async (
    owner: Id,
    instance: InstanceName,
    limits: InstanceReadLimits
  ): Promise<InstanceResult<InstanceRead>> => {
    const id = ++lastId
    const { gone } = limits
    const timeoutMs = limits.timeoutMs ?? (await longestWait(instance, owner))
    const settle = (accepted: number): void => void settleAt(owner, { id, accepted })
    const cancel = (): void => settle(0)
    gone?.addEventListener('abort', cancel, { once: true })
    const maxBytes = Math.min(limits.maxBytes ?? MAX_READ_BYTES, MAX_READ_BYTES)
    const asked: AskedRead = { instance, id, limits: { timeoutMs, maxBytes } }
    const result = (await call(
      owner,
      'read',
      asked,
      VERB_TIMEOUT_MS + timeoutMs,
      instance.principal
    )) as InstanceResult<ReadAnswer>
    gone?.removeEventListener('abort', cancel)
    if (result.type === 'done') return { type: 'done', value: { records: result.value.records, settle } }
    // The owner may have answered all the same.
    if (result === AWAY || result === GONE) settle(0)
    return result
  }
  return {
    create: async (...args) => {
      const creator = await owners.creatorOf(args[0])
      if (creator === 'exists') return { type: 'done', value: false }
      if (creator.type === 'failed') return creator
      if (creator.id === peers.id) return instances.create(...args)
      const result = (await call(
        creator.id,
        'create',
        args,
        VERB_TIMEOUT_MS,
        args[0].principal
      )) as InstanceResult<boolean>
      return result.type === 'unknownInstance' ? AWAY : result
    },
    settingsOf: passed('settingsOf'),
    remove: passed('remove'),
    subscription: passed('subscription'),
    unsubscribe: passed('unsubscribe'),
    assign: passed('assign'),
    assignment: passed('assignment'),
    seek: passed('seek'),
    commit: passed('commit'),
    committed: passed('committed'),
    subscribe: (instance, topics) =>
      atOwner(
        instance,
        () => instances.subscribe(instance, topics),
        async owner => {
          const sent = 'topics' in topics ? { topics: topics.topics } : { pattern: topics.pattern }
          const body: AskedSubscription = { instance, topics: sent, allowed: await allowedIn(topics) }
          return (await call(owner, 'subscribe', body, VERB_TIMEOUT_MS, instance.principal)) as InstanceResult<void>
        }
      ),
    read: (instance, limits) =>
      atOwner<InstanceResult<InstanceRead>>(
        instance,
        () => instances.read(instance, limits),
        owner => readAt(owner, instance, limits)
      )
  }
}

/** Answers the verbs that other processes pass on to this one. */
function serveInstances<Id>(instances: InstanceGateway, cluster: string, peers: Peers<Id>): void {
  const serve = <Body>(verb: string, handler: (body: Body, from: Id) => unknown): void =>
    peers.serve(`instance ${verb} ${cluster}`, (body, { from }) => handler(body as Body, from))
  const verbs: readonly PlainVerb[] = [
    'create',
    'settingsOf',
    'remove',
    'subscription',
    'unsubscribe',
    'assign',
    'assignment',
    'seek',
    'commit',
    'committed'
  ]
  for (const verb of verbs) {
    const method = instances[verb] as (...args: unknown[]) => unknown
    serve(verb, (args: unknown[]) => method.apply(instances, args))
  }
  serve('subscribe', ({ instance, topics, allowed }: AskedSubscription) => {
    const names = allowed && new Set(allowed)
    const includes = names && ((topic: string): boolean => names.has(topic))
    return instances.subscribe(instance, 'topics' in topics ? topics : { ...topics, includes })
  })
  /** Reads that are open or not settled, by caller and id. */
  const reads = new Map<Id, Map<number, { readonly gone: AbortController; read?: InstanceRead }>>()
  const settle = (from: Id, id: number, accepted: number): void => {
    const open = reads.get(from)?.get(id)
    reads.get(from)?.delete(id)
    if (open?.read) open.read.settle(accepted)
    else open?.gone.abort()
  }
  serve('read', async ({ instance, limits, id }: AskedRead, from): Promise<InstanceResult<ReadAnswer>> => {
    const open: { gone: AbortController; read?: InstanceRead } = { gone: new AbortController() }
    const ofCaller = reads.get(from) ?? new Map<number, typeof open>()
    reads.set(from, ofCaller.set(id, open))
    const result = await instances.read(instance, { ...limits, gone: open.gone.signal })
    if (result.type !== 'done') {
      ofCaller.delete(id)
      return result
    }
    open.read = result.value
    if (open.gone.signal.aborted) result.value.settle(0)
    return { type: 'done', value: { records: result.value.records.map(toPlain) } }
  })
  serve('settle', ({ id, accepted }: Settled, from) => settle(from, id, accepted))
  peers.onGone(from => {
    for (const id of [...(reads.get(from)?.keys() ?? [])]) settle(from, id, 0)
    reads.delete(from)
  })
}

/** Copies the fields that are sent. */
const toPlain = ({ topic, partition, offset, timestampMs, key, value, headers }: InstanceRecord): InstanceRecord => ({
  topic,
  partition,
  offset,
  timestampMs,
  key,
  value,
  headers
})
