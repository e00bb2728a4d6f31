import { type CastellanError, ForbiddenError, UnauthenticatedError } from '../../core/errors.js'
import { Line, type LinePlace } from '../../core/line.js'
import type { MonotonicClock } from '../../core/model.js'
import {
  type AccessTarget,
  type Authentication,
  forbiddenByRules,
  type Identity,
  type IncomingRequest,
  isRefusal,
  type Operation
} from './access.js'

/** Credentials are verified again after this, or when they expire. */
const CHECK_MS = 60_000
/** Pause before credentials are looked at again that could not be verified. */
const RETRY_MS = 1_000
/**
 * Credentials that could not be verified for this long count as wrong; keys may be missing, or too many requests wait.
 */
const UNVERIFIED_MS = 60_000

/** A websocket, a stream or a waiting request: something that stays open after it was admitted. */
export interface OpenRequestWatch {
  readonly incoming: IncomingRequest
  readonly identity: Identity
  readonly operation: Operation
  readonly target: AccessTarget
  /** Called once, when it may not go on. */
  readonly onRefused: (error: CastellanError) => void
}

interface AccessWatch extends OpenRequestWatch {
  /** `undefined`: its request is over. */
  place: LinePlace<AccessWatch> | undefined
  /** Time of the monotonic clock. */
  verifiedAt: number
  timer?: NodeJS.Timeout | undefined
}

export interface WatchesDeps {
  readonly authenticate: (incoming: IncomingRequest) => Authentication | Promise<Authentication>
  readonly allows: (principal: string, operation: Operation, target: AccessTarget) => boolean
  readonly onEnded: (watched: OpenRequestWatch, error: CastellanError) => void
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * Checks at intervals whether open websockets and streams may continue: credentials expire or are revoked, and rules
 * change.
 */
export class Watches {
  readonly #deps: WatchesDeps
  readonly #all = new Line<AccessWatch>()

  constructor(deps: WatchesDeps) {
    this.#deps = deps
  }

  /** Watches it until its request is over. */
  add(watched: OpenRequestWatch): void {
    const watch: AccessWatch = { ...watched, place: undefined, verifiedAt: this.#deps.clock() }
    watch.place = this.#all.add(watch)
    this.#checkBeforeEnd(watch, watched.identity)
    watched.incoming.onEnd(() => this.#remove(watch))
  }

  /** Checks all watched requests now: settings have changed. */
  checkAll(): void {
    for (const watch of this.#all.all) this.#check(watch)
  }

  #checkBeforeEnd(watch: AccessWatch, { validUntil }: Identity): void {
    this.#checkAfter(watch, Math.max(0, Math.min(CHECK_MS, validUntil - this.#deps.now())))
  }

  #checkAfter(watch: AccessWatch, pauseMs: number): void {
    clearTimeout(watch.timer)
    watch.timer = setTimeout(() => this.#check(watch), pauseMs).unref()
  }

  #check(watch: AccessWatch): void {
    const authentication = this.#deps.authenticate(watch.incoming)
    if (!(authentication instanceof Promise)) {
      this.#settle(watch, authentication)
      return
    }
    // No second check begins while this one is under way.
    clearTimeout(watch.timer)
    authentication.then(
      result => this.#settle(watch, result),
      error => this.#end(watch, error as CastellanError)
    )
  }

  #settle(watch: AccessWatch, authentication: Authentication): void {
    const { clock, allows } = this.#deps
    const { identity, operation, target } = watch
    if (watch.place === undefined) return
    if (isRefusal(authentication)) {
      const isWrong = authentication instanceof UnauthenticatedError
      if (isWrong || clock() - watch.verifiedAt >= CHECK_MS + UNVERIFIED_MS) this.#end(watch, authentication)
      else this.#checkAfter(watch, RETRY_MS)
    } else if (authentication.principal !== identity.principal) {
      this.#end(watch, new ForbiddenError('the credentials belong to another principal now'))
    } else if (!allows(identity.principal, operation, target)) {
      this.#end(watch, forbiddenByRules(`no rule allows ${identity.principal} to go on`))
    } else {
      watch.verifiedAt = clock()
      this.#checkBeforeEnd(watch, authentication)
    }
  }

  #end(watch: AccessWatch, error: CastellanError): void {
    if (watch.place === undefined) return
    this.#remove(watch)
    this.#deps.onEnded(watch, error)
    watch.onRefused(error)
  }

  #remove(watch: AccessWatch): void {
    watch.place?.leave()
    watch.place = undefined
    clearTimeout(watch.timer)
  }
}
