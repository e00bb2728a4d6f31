import type { Logger } from '../../core/model.js'
import {
  type CarryOut,
  type ForwardedAnswer,
  type ForwardedRequest,
  type KeyOwners,
  NotCarriedOutError,
  type PassOn
} from '../../http/api/key-owners.js'
import { answerOf, carriedOut, KEYED_REQUEST } from '../calls/key-calls.js'
import { isAway, type PeerError } from '../calls/peers.js'
import type { GatewayPeers } from './gateway-peers.js'
import { KeyMembers, type Standing } from './key-members.js'

/** The end of a hash names the client. */
const CLIENT_AT = 12

/** So often in a row a look-up must have the same result until it counts that keys cannot be shared. */
const LOOKS = 3

/** Asks how a gateway serves requests with keys. Builds that asked for keys instead of passing requests on do not serve it. */
const STANDING = 'keys of requests'
const STANDING_TIMEOUT_MS = 2_000
const CONTESTED = 'some gateways share keys of requests and others do not'

/** A request with what has to be the same at both gateways. */
interface Envelope {
  /** {@link KeyMembers.digest} */
  readonly list: string
  /** The gateway that calls, and the one that it means to call. */
  readonly by: string
  readonly to: string
  readonly request: ForwardedRequest
}

export interface GatewayKeysDeps {
  readonly peers: Pick<GatewayPeers, 'id' | 'others' | 'serve' | 'call' | 'onRefreshed' | 'processesAt'>
  readonly addresses: readonly string[]
  readonly log: Logger
}

/** How a gateway serves requests with keys: with all gateways of its list, by itself, or not now. */
type KeyStanding = 'shared' | 'alone' | 'refused'

/** How this gateway serves keys, as far as it knows. */
type Sharing =
  /**
   * It does not know yet which of the list it is, and why; so often in a row the look-up had this result. `isAlone`: the
   * list says that keys cannot be shared.
   */
  | { readonly type: 'looking'; readonly why: string; readonly times: number; readonly isAlone: boolean }
  /** The list cannot be used, so keys hold at this gateway only. */
  | { readonly type: 'alone' }
  /** `isDoubled`: another gateway answers at the entry of this one. */
  | { readonly type: 'shared'; readonly self: string; readonly isDoubled: boolean }

/**
 * The keys of gateways that know each other. They hold over all of them when each entry of `peers.addresses` is one gateway
 * and this one is among them; otherwise over this gateway.
 */
export class GatewayKeys implements KeyOwners {
  readonly #deps: GatewayKeysDeps
  readonly #members: KeyMembers
  /** How the others serve requests with keys, by process. */
  readonly #standings = new Map<string, KeyStanding>()
  #sharing: Sharing = { type: 'looking', why: '', times: 0, isAlone: false }
  /** How often in a row another gateway could not be called. */
  readonly #silent = new Map<string, number>()
  /** This gateway shares keys and another one serves them by itself, or the other way round. */
  #isContested = false
  #isClosed = false

  constructor(deps: GatewayKeysDeps) {
    const { peers, addresses } = deps
    this.#deps = deps
    this.#members = new KeyMembers(addresses, peers.id, name => peers.processesAt(name))
    peers.serve(STANDING, () => this.#standing)
    peers.onRefreshed(() => this.#look())
  }

  get reach(): KeyOwners['reach'] {
    return this.#sharing.type === 'alone' ? 'gateway' : 'deployment'
  }

  ownerOf(hash: string): PassOn | undefined {
    const owner = this.#members.ownerOf(hash)
    // Where no request may be carried out, none is: not even those whose key this gateway owns.
    const isOwn = this.#sharing.type === 'alone' || owner === this.#self
    return isOwn && this.#refusal === undefined
      ? undefined
      : (request, timeoutMs) => this.#passOn(owner, request, timeoutMs)
  }

  serve(carryOut: CarryOut): void {
    const { peers } = this.#deps
    peers.serve(KEYED_REQUEST, message => {
      const envelope = message as Envelope
      const refusal = this.#isClosed ? 'it is stopping' : (this.#refusal ?? this.#disagreement(envelope))
      return carriedOut(envelope.request, carryOut, refusal)
    })
  }

  close(): void {
    this.#isClosed = true
  }

  /** Why no request with a key is carried out at this gateway. `undefined`: they are. */
  get #refusal(): string | undefined {
    const sharing = this.#sharing
    if (sharing.type === 'looking') {
      const why = sharing.why === '' ? '' : `: ${sharing.why}`
      return `this gateway does not know yet which of peers.addresses it is${why}`
    }
    // Two gateways would both carry a request out.
    if (sharing.type === 'shared' && sharing.isDoubled) return `another gateway answers at ${sharing.self}`
    return this.#isContested ? CONTESTED : undefined
  }

  get #standing(): KeyStanding {
    const sharing = this.#sharing
    if (sharing.type === 'shared') return sharing.isDoubled ? 'refused' : 'shared'
    return sharing.type === 'looking' || this.#isContested ? 'refused' : 'alone'
  }

  /** The entry of this gateway; `undefined`: none, or it is not known. */
  get #self(): string | undefined {
    return this.#sharing.type === 'shared' ? this.#sharing.self : undefined
  }

  /** What is wrong with keys of requests, one sentence each, for operators. */
  get warnings(): readonly string[] {
    const refused = 'requests with an Idempotency-Key are refused (503)'
    const refusal = this.#refusal
    if (this.#sharing.type === 'looking') return this.#sharing.times < LOOKS ? [] : [`${refused}: ${refusal}`]
    const hint = refusal === CONTESTED ? 'peers.addresses and builds' : 'peers.addresses'
    if (refusal !== undefined) return [`${refused}: ${refusal}; compare ${hint}`]
    return [...this.#silent].flatMap(([name, looks]) =>
      looks < LOOKS ? [] : [`${refused} whose key the gateway ${name} owns, because it cannot be reached`]
    )
  }

  /** Finds out which gateway this one is, and whether others leave its keys to it. */
  #look(): void {
    const sharing = this.#sharing
    if (sharing.type === 'shared') {
      this.#lookForDouble(sharing.self)
      this.#lookForOthers(sharing.self)
    } else if (sharing.type === 'looking') {
      const standing = this.#members.standing()
      if (standing.type === 'member') this.#share(standing.self)
      else this.#postpone(standing, standing.why === sharing.why ? sharing.times + 1 : 1)
    }
    void this.#askOthers().then(() => this.#compare())
  }

  /** A gateway that is started again is away for a moment, so it counts when it comes several times. */
  #lookForOthers(self: string): void {
    const { others } = this.#deps.peers
    for (const name of this.#members.names) {
      if (name === self || this.#members.isCallable(name, others)) this.#silent.delete(name)
      else this.#silent.set(name, (this.#silent.get(name) ?? 0) + 1)
    }
  }

  #lookForDouble(self: string): void {
    const isDoubled = !this.#members.isOnly(self)
    this.#sharing = { type: 'shared', self, isDoubled }
    if (!isDoubled) return
    const message = `another gateway answers at ${self}: requests with keys are refused (503)`
    this.#deps.log.error({}, `${message}; compare peers.addresses`)
  }

  #share(self: string): void {
    this.#sharing = { type: 'shared', self, isDoubled: false }
    const { length } = this.#members.names
    this.#deps.log.info({}, `keys of requests hold at all ${length} gateways; this one is ${self}`)
  }

  /** Gateways that are started again may exchange their addresses, so a result counts when it comes several times. */
  #postpone(standing: Exclude<Standing, { type: 'member' }>, times: number): void {
    const { type, why } = standing
    const isAlone = type === 'alone' && (standing.isFinal || times >= LOOKS)
    this.#sharing = { type: 'looking', why, times, isAlone }
    if (type === 'alone' || times < LOOKS) return
    const message = 'requests with keys are refused (503) until this gateway knows which of peers.addresses it is'
    this.#deps.log.warn({}, `${message}: ${why}`)
  }

  /** Asks all others how they serve requests with keys. Never rejects. */
  async #askOthers(): Promise<void> {
    const { peers, addresses } = this.#deps
    // One that is not called for a moment is still there.
    const there = new Set(addresses.flatMap(name => peers.processesAt(name).map(({ id }) => id)))
    for (const id of this.#standings.keys())
      if (!there.has(id) && !peers.others.includes(id)) this.#standings.delete(id)
    const ask = async (id: string): Promise<void> => {
      const asked = peers.call(id, STANDING, {}, { timeoutMs: STANDING_TIMEOUT_MS })
      // An earlier build does not serve the question. Where there is no answer, the last one counts.
      const standing = await asked.catch((error: PeerError) => (isUnserved(error) ? 'alone' : undefined))
      if (standing !== undefined) this.#standings.set(id, standing as KeyStanding)
    }
    await Promise.all(peers.others.map(ask))
  }

  /** Keys are refused where others would carry requests with them out as well. */
  #compare(): void {
    const { log } = this.#deps
    const contested = this.#sharing.type === 'shared' ? 'alone' : 'shared'
    const isContested = [...this.#standings.values()].includes(contested)
    if (isContested && !this.#isContested) {
      log.error({}, `${CONTESTED}: requests with keys are refused (503); compare peers.addresses and builds`)
    }
    this.#isContested = isContested
    if (isContested || this.#sharing.type !== 'looking' || !this.#sharing.isAlone) return
    const because = `because peers.addresses cannot be used for them: ${this.#sharing.why}`
    log.warn({}, `keys of requests hold at this gateway only, ${because}`)
    this.#sharing = { type: 'alone' }
  }

  async #passOn(to: string, request: ForwardedRequest, timeoutMs: number): Promise<ForwardedAnswer> {
    const { peers } = this.#deps
    if (this.#refusal !== undefined) throw new NotCarriedOutError(this.#refusal)
    const id = this.#members.idOf(to)
    // A call to an unknown process would look for it first.
    if (id === undefined || !peers.others.includes(id))
      throw new NotCarriedOutError(`the gateway ${to}, which owns the key, cannot be reached`)
    const client = request.asked.hash.slice(CLIENT_AT)
    const envelope: Envelope = { list: this.#members.digest, by: this.#self ?? '', to, request }
    const called = peers.call(id, KEYED_REQUEST, envelope, { timeoutMs, client, kind: 'long' })
    called.catch(error => this.#note(to, error as PeerError))
    return answerOf(`the gateway ${to}`, called)
  }

  /** Says when a process has answered, and refuses. */
  #note(to: string, error: PeerError): void {
    const { cause } = error
    if (cause === undefined || isAway(error) || cause.code === 'overloaded') return
    const message = `the gateway ${to} does not share keys of requests with this one`
    this.#deps.log.warn({ reason: cause.message }, `${message}; it was just started, or its peers.addresses differ`)
  }

  /** Why this gateway is not the owner that another one takes it for. */
  #disagreement({ list, by, to }: Envelope): string | undefined {
    const self = this.#self
    if (list === this.#members.digest && to === self && by !== self) return undefined
    const what =
      list === this.#members.digest
        ? `${by} takes this gateway for ${to}, it is ${self ?? 'none of the list'}`
        : `${by} has another list`
    this.#deps.log.error(
      { reason: what },
      'the gateways have different peers.addresses: requests with keys are refused (503)'
    )
    return `peers.addresses differ: ${what}`
  }
}

const isUnserved = (error: PeerError): boolean =>
  error.cause !== undefined && error.cause.code === undefined && !isAway(error)
