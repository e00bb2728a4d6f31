import type { Logger } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import { Waiters } from '../../core/waiters.js'
import type { GivenReceipt } from '../../producer/keys/keyed-records.js'
import type { AskedKey, Claim, Keys, LocalKeys, OnWait } from '../../producer/keys/keys.js'
import type { GatewayPeers } from './gateway-peers.js'
import { type KeyLink, type KeyWaits, UnsentError } from './key-link.js'
import { KeyMembers, type Standing } from './key-members.js'
import { type KeyStanding, KeyStandings } from './key-standings.js'
import { isAway, PeerError } from './peers.js'
import { SharedKeys } from './shared-keys.js'

/** A wait at another gateway is asked for in parts of this length, because a call in progress takes a place there. */
const PART_MS = 5_000
/** Waits at other gateways. They leave calls to these free for other questions. */
const MAX_WAITS = 256
/** How long a gateway that has an answer tries to reach the owner of its key often. */
const SETTLE_FOR_MS = 3_600_000
const LONGEST_PAUSE_MS = 2_000
/** How long a request waits until this gateway knows which of the list it is. */
const LOOKING_MS = 2_000

/** So often in a row a look-up must have the same result until it counts that keys cannot be shared. */
const LOOKS = 3

const CONTESTED = 'some gateways share keys of requests and others do not'

/** A message with what has to be the same at both gateways. */
interface Envelope {
  /** {@link KeyMembers.digest} */
  readonly list: string
  /** The gateway that calls, and the one that it means to call. */
  readonly by: string
  readonly to: string
  readonly body: unknown
}

export interface PeerKeysDeps {
  readonly own: LocalKeys
  readonly peers: Pick<GatewayPeers, 'id' | 'others' | 'serve' | 'call' | 'onGone' | 'onRefreshed' | 'processesAt'>
  /** The setting `peers.addresses`. */
  readonly addresses: readonly string[]
  readonly log: Logger
}

/**
 * The keys of gateways that know each other. They hold over all of them when each entry of `peers.addresses` is one gateway
 * and this one is among them; otherwise over this gateway.
 */
export class PeerKeys implements Keys {
  readonly #deps: PeerKeysDeps
  readonly #members: KeyMembers
  readonly #standings: KeyStandings
  readonly #waits = new Shares(MAX_WAITS)
  /** Wake requests that wait until this gateway knows which one it is. */
  readonly #looking = new Waiters()
  #self: string | undefined
  /** How often in a row another gateway could not be called. */
  readonly #silent = new Map<string, number>()
  /** Another gateway answers at the entry of this one. */
  #isDoubled = false
  /** This gateway shares keys and another one serves them by itself, or the other way round. */
  #isContested = false
  /** The list says that keys cannot be shared. */
  #isAlone = false
  /** How often in a row the look-up had this result. */
  #undecided = { why: '', times: 0 }
  /** `undefined`: this gateway does not know yet which one it is. */
  #keys: Keys | undefined
  #shared: SharedKeys | undefined

  constructor(deps: PeerKeysDeps) {
    const { peers, addresses } = deps
    this.#deps = deps
    this.#members = new KeyMembers(addresses, peers.id, name => peers.processesAt(name))
    this.#standings = new KeyStandings(peers, addresses, () => this.#standing)
    peers.onRefreshed(() => this.#look())
  }

  get #standing(): KeyStanding {
    if (this.#isDoubled || this.#keys === undefined) return 'refused'
    if (this.#shared !== undefined) return this.#shared.isReady ? 'shared' : 'refused'
    return this.#isContested ? 'refused' : 'alone'
  }

  get reach(): Keys['reach'] {
    return this.#keys?.reach ?? 'deployment'
  }

  claim(asked: AskedKey, waitMs: number, onWait?: OnWait): Claim | Promise<Claim> {
    if (this.#keys === undefined) return this.#claimLater(asked, waitMs, onWait)
    // Two gateways would both give a key out.
    if (this.#isDoubled) return { type: 'away', why: `another gateway answers at ${this.#self}` }
    if (this.#isContested) return { type: 'away', why: CONTESTED }
    return this.#keys.claim(asked, waitMs, onWait)
  }

  async receiptOf(asked: AskedKey, waitMs: number): Promise<GivenReceipt | undefined> {
    return this.#keys?.receiptOf(asked, waitMs)
  }

  close(): void {
    this.#shared?.close()
  }

  async #claimLater(asked: AskedKey, waitMs: number, onWait?: OnWait): Promise<Claim> {
    const startedAt = performance.now()
    await this.#looking.wait(Math.min(waitMs, LOOKING_MS))
    if (this.#keys === undefined) return { type: 'away', why: this.#whyUndecided }
    return this.claim(asked, Math.max(0, waitMs - (performance.now() - startedAt)), onWait)
  }

  /** Finds out which gateway this one is, and whether others leave its keys to it. */
  #look(): void {
    if (this.#self !== undefined) this.#lookForDouble(this.#self)
    this.#lookForOthers()
    if (this.#keys === undefined) {
      const standing = this.#members.standing()
      if (standing.type === 'member') this.#share(standing.self)
      else this.#postpone(standing)
    }
    void this.#standings.ask().then(() => this.#compare())
  }

  get #whyUndecided(): string {
    const { why } = this.#undecided
    return `this gateway does not know yet which of peers.addresses it is${why === '' ? '' : `: ${why}`}`
  }

  /** What is wrong with keys of requests, one sentence each, for operators. */
  get warnings(): readonly string[] {
    const refused = 'requests with an Idempotency-Key are refused (503)'
    if (this.#isDoubled) return [`${refused}: another gateway answers at ${this.#self}; compare peers.addresses`]
    if (this.#isContested) return [`${refused}: ${CONTESTED}; compare peers.addresses and builds`]
    if (this.#keys === undefined) return this.#undecided.times < LOOKS ? [] : [`${refused}: ${this.#whyUndecided}`]
    return [...this.#silent].flatMap(([name, looks]) =>
      looks < LOOKS ? [] : [`${refused} whose key the gateway ${name} owns, because it cannot be reached`]
    )
  }

  /** A gateway that is started again is away for a moment, so it counts when it comes several times. */
  #lookForOthers(): void {
    const { others } = this.#deps.peers
    for (const name of this.#members.names) {
      const isThere = name === this.#self || this.#members.isCallable(name, others)
      if (isThere || this.#shared === undefined) this.#silent.delete(name)
      else this.#silent.set(name, (this.#silent.get(name) ?? 0) + 1)
    }
  }

  #lookForDouble(self: string): void {
    this.#isDoubled = !this.#members.isOnly(self)
    if (!this.#isDoubled) return
    const message = `another gateway answers at ${self}: requests with keys are refused (503)`
    this.#deps.log.error({}, `${message}; compare peers.addresses`)
  }

  #share(self: string): void {
    const { own, log } = this.#deps
    this.#self = self
    own.store.disown(hash => this.#members.ownerOf(hash) === self)
    this.#shared = new SharedKeys(own, this.#linkAs(self))
    log.info({}, `keys of requests hold at all ${this.#members.names.length} gateways; this one is ${self}`)
    this.#serve(this.#shared)
  }

  #serve(keys: Keys): void {
    this.#keys = keys
    this.#looking.wake()
  }

  /** Gateways that are started again may exchange their addresses, so a result counts when it comes several times. */
  #postpone(standing: Exclude<Standing, { type: 'member' }>): void {
    const { type, why } = standing
    this.#undecided = { why, times: why === this.#undecided.why ? this.#undecided.times + 1 : 1 }
    const isFinal = (type === 'alone' && standing.isFinal) || this.#undecided.times >= LOOKS
    this.#isAlone = isFinal && type === 'alone'
    if (!isFinal || type === 'alone') return
    const message = 'requests with keys are refused (503) until this gateway knows which of peers.addresses it is'
    this.#deps.log.warn({}, `${message}: ${why}`)
  }

  /** Keys are refused where others would give them out as well. */
  #compare(): void {
    const { own, log } = this.#deps
    const isContested = this.#standings.has(this.#shared === undefined ? 'shared' : 'alone')
    if (isContested && !this.#isContested) {
      log.error({}, `${CONTESTED}: requests with keys are refused (503); compare peers.addresses and builds`)
    }
    this.#isContested = isContested
    if (isContested || !this.#isAlone || this.#keys !== undefined) return
    const why = 'because peers.addresses cannot be used for them'
    log.warn({}, `keys of requests hold at this gateway only, ${why}: ${this.#undecided.why}`)
    this.#serve(own)
  }

  #linkAs(self: string): KeyLink {
    const members = this.#members
    const { peers } = this.#deps
    const gone: ((run: string) => void)[] = []
    const noted = (name: string, id: string): void => {
      const former = members.note(name, id)
      if (former !== undefined) for (const listener of gone) listener(runOf(name, former))
    }
    peers.onGone(id => {
      const name = members.nameOfProcess(id)
      if (name !== undefined) for (const listener of gone) listener(runOf(name, id))
    })
    return {
      reach: 'deployment',
      kind: 'gateway',
      self,
      run: runOf(self, peers.id),
      others: members.names.filter(name => name !== self),
      waits: this.#limitedWaits(),
      settleForMs: SETTLE_FOR_MS,
      longestPauseMs: LONGEST_PAUSE_MS,
      ownerOf: hash => members.ownerOf(hash),
      nameOf: run => run.split(' ', 1)[0]!,
      onGone: listener => gone.push(listener),
      serve: (name, handler) =>
        peers.serve(`key ${name}`, (message, { from }) => {
          const { list, by, to, body } = message as Envelope
          this.#check(list, by, to, self)
          noted(by, from)
          return handler(body, runOf(by, from))
        }),
      call: (to, name, body, timeoutMs) =>
        this.#call({ list: members.digest, by: self, to, body }, name, timeoutMs, noted)
    }
  }

  /** @throws PeerError */
  async #call(
    message: Envelope,
    name: string,
    timeoutMs: number,
    noted: (name: string, id: string) => void
  ): Promise<unknown> {
    const { peers, log } = this.#deps
    const { to } = message
    const id = this.#members.idOf(to)
    // A call to an unknown process would look for it first.
    if (!peers.others.includes(id)) throw new UnsentError(`the gateway ${to} does not answer`)
    try {
      const answer = await peers.call(id, `key ${name}`, message, { timeoutMs })
      noted(to, id)
      return answer
    } catch (error) {
      const { cause } = error as PeerError
      // Its process has answered, and refuses.
      if (cause !== undefined && !isAway(error) && cause.code === undefined) {
        const message = `the gateway ${to} does not share keys of requests with this one`
        log.warn({ reason: cause.message }, `${message}; it was just started, or its peers.addresses differ`)
      }
      throw error
    }
  }

  #check(list: string, by: string, to: string, self: string): void {
    if (list === this.#members.digest && to === self && by !== self) return
    const what =
      list === this.#members.digest ? `${by} takes this gateway for ${to}, it is ${self}` : `${by} has another list`
    this.#deps.log.error(
      { reason: what },
      'the gateways have different peers.addresses: requests with keys are refused (503)'
    )
    throw new PeerError(`peers.addresses differ: ${what}`)
  }

  #limitedWaits(): KeyWaits {
    return {
      partMs: PART_MS,
      take: client => (this.#waits.problemOf(client) === undefined ? this.#waits.take(client) : undefined)
    }
  }
}

const runOf = (name: string, id: string): string => `${name} ${id}`
