import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { performanceClock } from '../../core/clocks.js'
import { inTime } from '../../core/in-time.js'
import { deleteFrom, getOrAdd } from '../../core/maps.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { Notice } from '../../core/notice.js'
import {
  type CarryOut,
  type ForwardedAnswer,
  type ForwardedRequest,
  type Holding,
  type KeyOwners,
  NOT_SERVED,
  NotCarriedOutError,
  type PassOn
} from '../../http/api/key-owners.js'
import { CLIENT_AT } from '../../producer/keys/key-space.js'
import { ask, serve } from '../calls/call.js'
import { ENDING_TIMEOUT_MS, type Envelope, type KeySharing } from '../calls/key-calls.js'
import { answerOf, RequestsOfOthers } from '../calls/keyed-requests.js'
import { askAll, isUnanswered, type PeerError, type Peers } from '../calls/peers.js'
import { heaviest } from '../calls/rendezvous.js'
import { CALLS } from '../calls/table.js'
import type { GatewayPeers, PlaceOfProcess } from './gateway-peers.js'
import { HeldRequests } from './held-requests.js'

/** A problem that may pass, as while a gateway is started again, counts once so many look-ups in a row found it. */
const LOOKS = 3

const CONTESTED = 'some gateways share keys of requests and others do not'
/** A gateway that was just started refuses requests for a moment: that is not told. */
const TOLD_AFTER_MS = 10_000
const REFUSED = 'requests with an Idempotency-Key are refused (503)'

export interface GatewayKeysDeps {
  readonly peers: Pick<Peers, 'id' | 'others' | 'serve' | 'call' | 'noteStrange'> &
    Pick<GatewayPeers, 'onRefreshed' | 'processesAt'>
  readonly addresses: readonly string[]
  /** `http.maxBodiesInFlightBytes`. */
  readonly bodiesMaxBytes: number
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly now?: MonotonicClock
}

/** Result of the look-ups: the gateway's place in the list; or the list cannot be used, and keys hold at this gateway only. */
type KeyState = (Looking | KeyMember | { readonly type: 'alone' }) & {
  /** Either this gateway shares keys and another one serves them by itself, or the other way round. */
  readonly isContested: boolean
}

/** Why it is not one of the list, in so many look-ups in a row. */
interface Looking extends Lost {
  readonly type: 'looking'
  readonly times: number
}

interface KeyMember {
  readonly type: 'member'
  /** The entry of this gateway. */
  readonly self: string
  /** Another gateway answers at the entry of this one: both would carry a request out. */
  readonly isDoubled: boolean
  /** How often in a row another gateway could not be called. */
  readonly silent: ReadonlyMap<string, number>
}

/**
 * The keys of gateways that know each other. They hold over all of them when each entry of `peers.addresses` is one gateway
 * and this one is among them; otherwise over this gateway.
 */
export class GatewayKeys implements KeyOwners {
  readonly #deps: GatewayKeysDeps
  readonly #list: KeyList
  /** How the others serve requests with keys, by process. */
  readonly #sharings = new Map<string, KeySharing>()
  /** Processes that have said that they end. Their earlier messages may come later. */
  readonly #ending = new Set<string>()
  /** The requests that were passed on and are not answered, by the process of their owner. */
  readonly #passedOn = new Map<string, Set<Promise<unknown>>>()
  #state: KeyState = { type: 'looking', why: '', times: 0, isContested: false }
  /** Entry of a gateway => time since which it has refused requests that were passed on to it. */
  readonly #refusingSince = new Map<string, { readonly id: string; readonly since: number }>()
  readonly #ofOthers = new RequestsOfOthers()
  /** Absent: this gateway is starting, and has no routes yet. */
  #carryOut: CarryOut | undefined
  readonly #held: HeldRequests
  readonly holding: Holding = {
    isHolding: hash => this.#held.isHolding(this.#list.ownerOf(hash)),
    hasEarlier: hash => this.#held.hasEarlier(hash),
    wait: (request, limitMs) => this.#held.wait(this.#list.ownerOf(request.hash), request, limitMs),
    ended: request => this.#held.ended(request)
  }

  constructor(deps: GatewayKeysDeps) {
    this.#deps = deps
    const { now = performanceClock, bodiesMaxBytes, metrics } = deps
    this.#held = new HeldRequests(owner => this.#canBeTried(owner), now, bodiesMaxBytes, metrics)
    this.#list = new KeyList(deps.addresses)
    serve(deps.peers, CALLS.keys.sharing, () => this.#sharing)
    serve(deps.peers, CALLS.keys.ending, (_body, { from }) => this.#otherEnds(from))
    serve(deps.peers, CALLS.keys.request, envelope => this.#ofOther(envelope))
    deps.peers.onRefreshed(() => this.#look())
  }

  get scope(): KeyOwners['scope'] {
    return this.#state.type === 'alone' ? 'gateway' : 'deployment'
  }

  ownerOf(hash: string): PassOn | undefined {
    const owner = this.#list.ownerOf(hash)
    // While requests with keys are refused, this gateway does not carry out its own ones either.
    return this.#isOwn(owner) && this.#refusal === undefined
      ? undefined
      : (request, timeoutMs) => this.#passOn(owner, request, timeoutMs)
  }

  serve(carryOut: CarryOut): void {
    this.#carryOut = carryOut
  }

  #ofOther(envelope: Envelope): Promise<ForwardedAnswer> {
    if (this.#carryOut === undefined) throw new NotCarriedOutError('it is starting')
    return this.#ofOthers.carryOut(envelope.request, this.#carryOut, this.#refusal ?? this.#disagreement(envelope))
  }

  /**
   * Refuses requests of other gateways from now on.
   *
   * @returns when those that were begun have ended, and none is on its way or two more seconds have passed
   */
  async close(): Promise<void> {
    const { peers } = this.#deps
    this.#held.close()
    await this.#ofOthers.close()
    const told = askAll(peers.others, id => ask(peers, id, CALLS.keys.ending, {}))
    await inTime(told, ENDING_TIMEOUT_MS, () => undefined)
  }

  async #otherEnds(id: string): Promise<void> {
    this.#ending.add(id)
    this.#sharings.set(id, 'refused')
    await Promise.allSettled(this.#passedOn.get(id) ?? [])
  }

  #isOwn(owner: string): boolean {
    return this.#state.type === 'alone' || owner === this.#self
  }

  /** Whether an owner shares keys, as it has said itself. */
  #canBeTried(owner: string): boolean {
    if (this.#refusal !== undefined) return false
    if (this.#isOwn(owner)) return true
    const id = this.#processOf(owner)
    return id !== undefined && this.#sharings.get(id) === 'shared'
  }

  /** The entry of this gateway, once it has found itself in the list. */
  get #self(): string | undefined {
    return this.#state.type === 'member' ? this.#state.self : undefined
  }

  /** Why no request with a key is carried out at this gateway. `undefined`: they are. */
  get #refusal(): string | undefined {
    const state = this.#state
    if (state.type === 'looking') {
      return `this gateway does not know yet which of peers.addresses it is${state.why === '' ? '' : `: ${state.why}`}`
    }
    if (state.type === 'member' && state.isDoubled) return `another gateway answers at ${state.self}`
    return state.isContested ? CONTESTED : undefined
  }

  get #sharing(): KeySharing {
    const state = this.#state
    const isServing = this.#carryOut !== undefined && !this.#ofOthers.isClosed
    if (state.type === 'member') return isServing && !state.isDoubled ? 'shared' : 'refused'
    return state.type === 'alone' && !state.isContested ? 'alone' : 'refused'
  }

  /** Warnings for operators about requests with keys. */
  get warnings(): readonly Notice[] {
    return this.#problems.map(text => ({ kind: 'keysRefused', text: `${REFUSED}${text}` }))
  }

  get #problems(): readonly string[] {
    const state = this.#state
    const refusal = this.#refusal
    if (state.type === 'looking') return state.times < LOOKS ? [] : [`: ${refusal}`]
    const hint = refusal === CONTESTED ? 'peers.addresses and builds' : 'peers.addresses'
    if (refusal !== undefined) return [`: ${refusal}; compare ${hint}`]
    const silent = state.type === 'member' ? [...state.silent] : []
    return silent.flatMap(([name, looks]) =>
      looks < LOOKS ? [] : [` whose key the gateway ${name} owns, because it cannot be reached`]
    )
  }

  /** Finds out which entry of the list this gateway is, and whether other gateways leave its keys to it. */
  #look(): void {
    const state = this.#state
    if (state.type === 'member') this.#state = { ...state, ...this.#lookForOthers(state) }
    else if (state.type === 'looking') this.#lookForSelf(state)
    this.#held.changed()
    void this.#askOthers().then(() => this.#compare())
  }

  #lookForSelf(state: KeyState & Looking): void {
    const { log, peers } = this.#deps
    const { isContested } = state
    const found = placeIn(this.#list, peers)
    if (typeof found === 'string') {
      this.#state = { type: 'member', self: found, isDoubled: false, silent: new Map(), isContested }
      log.info({}, `keys of requests hold at all ${this.#list.names.length} gateways; this one is ${found}`)
      return
    }
    // Gateways that are started again may exchange their addresses, so a result counts when it comes several times.
    const times = found.why === state.why ? state.times + 1 : 1
    this.#state = { type: 'looking', ...found, times, isContested }
    if (found.alone !== undefined || times < LOOKS) return
    const message = 'requests with keys are refused (503) until this gateway knows which of peers.addresses it is'
    log.warn({}, `${message}: ${found.why}`)
  }

  #lookForOthers({ self, silent }: KeyMember): Pick<KeyMember, 'isDoubled' | 'silent'> {
    const { log, peers } = this.#deps
    const places = peers.processesAt(self)
    const isDoubled = isSeveral(places) || idsOf(places).some(id => id !== peers.id)
    if (isDoubled) {
      const message = `another gateway answers at ${self}: requests with keys are refused (503)`
      log.error({}, `${message}; compare peers.addresses`)
    }
    // One that is started again is away for a moment, so it counts when it comes several times.
    const isSilent = (name: string): boolean => name !== self && this.#processOf(name) === undefined
    const silentNow = this.#list.names.filter(isSilent).map(name => [name, (silent.get(name) ?? 0) + 1] as const)
    return { isDoubled, silent: new Map(silentNow) }
  }

  /** The process of another gateway that can be called. @returns `undefined`: there is none, or more than one */
  #processOf(name: string): string | undefined {
    const { peers } = this.#deps
    const places = peers.processesAt(name)
    const [id] = idsOf(places)
    return id === undefined || isSeveral(places) || !peers.others.includes(id) ? undefined : id
  }

  /** Asks all others how they serve requests with keys. Never rejects. */
  async #askOthers(): Promise<void> {
    const { peers, addresses } = this.#deps
    // One that is not called for a moment is still there.
    const there = new Set([...peers.others, ...addresses.flatMap(name => idsOf(peers.processesAt(name)))])
    for (const known of [this.#sharings, this.#ending])
      for (const id of known.keys()) if (!there.has(id)) known.delete(id)
    await askAll(peers.others, async id => {
      const asked = ask(peers, id, CALLS.keys.sharing, {})
      // An earlier build does not serve the question. Where there is no answer, the last one counts.
      const sharing = await asked.catch((error: PeerError) => (isUnserved(error) ? 'alone' : undefined))
      // Each counts as it comes: B answers a look and ends, the next look forgets B, then C answers the first look.
      if (sharing === undefined || this.#ending.has(id)) return
      this.#sharings.set(id, sharing)
      this.#held.changed()
    })
  }

  /** Keys are refused where others would carry requests with them out as well. */
  #compare(): void {
    const { log } = this.#deps
    const state = this.#state
    const isContested = [...this.#sharings.values()].includes(state.type === 'member' ? 'alone' : 'shared')
    if (isContested && !state.isContested) {
      log.error({}, `${CONTESTED}: requests with keys are refused (503); compare peers.addresses and builds`)
    }
    this.#state = { ...state, isContested }
    if (!isContested && state.type === 'looking') this.#goAlone(state)
    this.#held.changed()
  }

  /** Serves keys alone, because the list cannot be used. */
  #goAlone({ why, times, alone }: Looking): void {
    if (alone === undefined || (alone === 'now' && times < LOOKS)) return
    const message = 'keys of requests hold at this gateway only, because peers.addresses cannot be used for them'
    this.#deps.log.warn({}, `${message}: ${why}`)
    this.#state = { type: 'alone', isContested: false }
  }

  async #passOn(to: string, request: ForwardedRequest, timeoutMs: number): Promise<ForwardedAnswer> {
    if (this.#refusal !== undefined) throw new NotCarriedOutError(this.#refusal)
    const id = this.#processOf(to)
    // A call to an unknown process would look for it first.
    if (id === undefined) throw new NotCarriedOutError(`the gateway ${to}, which owns the key, cannot be reached`)
    // One that stops is not called until its end, which would break the call.
    if (this.#sharings.get(id) === 'refused')
      throw new NotCarriedOutError(`the gateway ${to}, which owns the key, does not share keys now`)
    const client = request.asked.hash.slice(CLIENT_AT)
    const envelope: Envelope = { list: this.#list.digest, by: this.#self ?? '', to, request }
    const called = ask(this.#deps.peers, id, CALLS.keys.request, envelope, { waitMs: timeoutMs, client })
    this.#keepUntilAnswered(id, called)
    called.then(
      () => this.#refusingSince.delete(to),
      (error: PeerError) => this.#note(to, id, error)
    )
    return answerOf(`the gateway ${to}`, called).catch(error => {
      // The gateway counts as refusing until it says again that it shares keys.
      const isRefused = error instanceof NotCarriedOutError && error.why === 'away'
      if (isRefused && this.#sharings.get(id) !== 'alone') this.#sharings.set(id, 'refused')
      throw error
    })
  }

  #keepUntilAnswered(id: string, called: Promise<unknown>): void {
    getOrAdd(this.#passedOn, id, () => new Set()).add(called)
    const end = (): boolean => deleteFrom(this.#passedOn, id, called)
    called.then(end, end)
  }

  /** Says when a process has answered, and refuses for longer than while it starts. */
  #note(to: string, id: string, error: PeerError): void {
    const { cause } = error
    if (cause === undefined || isUnanswered(error) || cause.code === 'overloaded' || cause.code === NOT_SERVED) return
    const { log, now = performanceClock } = this.#deps
    const known = this.#refusingSince.get(to)
    // Another process there is starting.
    const since = known?.id === id ? known.since : now()
    this.#refusingSince.set(to, { id, since })
    if (now() - since < TOLD_AFTER_MS) return
    const message = `the gateway ${to} does not share keys of requests with this one`
    log.warn({ reason: cause.message }, `${message}: its peers.addresses differ, or it is an earlier build`)
  }

  /** Why this gateway is not the owner that another one takes it for. */
  #disagreement({ list, by, to }: Envelope): string | undefined {
    const self = this.#self
    const isSame = list === this.#list.digest
    if (isSame && to === self && by !== self) return undefined
    const taken = `${by} takes this gateway for ${to}, it is ${self ?? 'none of the list'}`
    const reason = isSame ? taken : `${by} has another list`
    const message = 'the gateways have different peers.addresses: requests with keys are refused (503)'
    this.#deps.log.error({ reason }, message)
    return `peers.addresses differ: ${reason}`
  }
}

const isUnserved = (error: PeerError): boolean =>
  error.cause !== undefined && error.cause.code === undefined && !isUnanswered(error)

/**
 * The gateways that share keys, each known by its entry in `peers.addresses`. Such a name is the same for all gateways, and for
 * the successors of a process.
 */
export class KeyList {
  /** All entries, in an order that is the same for all gateways. */
  readonly names: readonly string[]
  /** Differs when the lists differ. */
  readonly digest: string
  readonly #seeds: ReadonlyMap<string, number>

  constructor(addresses: readonly string[]) {
    this.names = [...new Set(addresses)].sort()
    this.digest = createHash('sha256').update(JSON.stringify(this.names)).digest('base64url')
    this.#seeds = new Map(this.names.map(name => [name, createHash('sha256').update(name).digest().readUInt32BE()]))
  }

  ownerOf(hash: string): string {
    const word = wordOf(hash)
    return heaviest(this.#seeds, ([, seed]) => mixed(seed ^ word))![0]
  }
}

/** Why a gateway is not one of the list. `alone`: keys cannot be shared with the list; absent: not all have answered. */
interface Lost {
  readonly why: string
  readonly alone?: 'now' | 'always'
}

/** The entry of this gateway, where each entry is one gateway. */
export function placeIn({ names }: KeyList, peers: Pick<GatewayPeers, 'id' | 'processesAt'>): string | Lost {
  if (names.length < 2)
    return { why: 'it has one entry, which does not say how many gateways there are', alone: 'always' }
  const found = new Map<string, string>()
  const silent: string[] = []
  for (const name of names) {
    const places = peers.processesAt(name)
    if (isSeveral(places)) return { why: `${name} is more than one gateway`, alone: 'now' }
    const [id] = idsOf(places)
    if (id === undefined) silent.push(name)
    else if (found.has(id)) return { why: `${found.get(id)} and ${name} are the same gateway`, alone: 'now' }
    else found.set(id, name)
  }
  const self = found.get(peers.id)
  if (self !== undefined) return self
  if (silent.length === 0) return { why: 'this gateway is not in it', alone: 'now' }
  return { why: `no gateway answers at ${silent.join(', ')}` }
}

const idsOf = (places: readonly PlaceOfProcess[]): readonly string[] => [
  ...new Set(places.flatMap(({ id }) => id ?? []))
]

/** A gateway may have an address of each family. */
function isSeveral(places: readonly PlaceOfProcess[]): boolean {
  const ofSix = places.filter(({ address }) => isIPv6(address)).length
  return ofSix > 1 || places.length - ofSix > 1 || idsOf(places).length > 1
}

/** The first four bytes of a hash. */
const wordOf = (hash: string): number =>
  (hash.charCodeAt(0) << 24) | (hash.charCodeAt(1) << 16) | (hash.charCodeAt(2) << 8) | hash.charCodeAt(3)

/** Each bit of the input changes about half of the bits of the result, which is a number of 32 bits. */
function mixed(word: number): number {
  let bits = word
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
