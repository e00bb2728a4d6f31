import type { IncomingMessage } from 'node:http'
import type { CastellanError } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import {
  type Access,
  type Authentication,
  admit,
  admittedCaller,
  type Called,
  type Caller,
  deniedCaller,
  type ForwardedCaller,
  type Identity,
  type IncomingRequest,
  isRefusal,
  type Operation,
  type PassedOn,
  type Target
} from './access.js'
import { type AccessMetrics, Audit, type AuditSink } from './audit.js'
import type { Authenticator } from './authenticator.js'
import { type QuotaAccount, Quotas } from './quotas.js'
import { type CallerDeps, PassedOnCaller, type PresentAccess, RequestCaller } from './request-caller.js'
import { Rules } from './rules.js'
import type { AccessSettings, QuotaSettings } from './settings.js'
import { Watches } from './watches.js'

export interface RequestAccessDeps {
  readonly authenticator: Authenticator
  /** `undefined`: no rules apply, since nothing about access is configured. */
  readonly rules: Rules | undefined
  readonly quotas: Quotas
  readonly audit: Audit
  readonly metrics: AccessMetrics
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * Admits requests before their body is read: first the quota of the address, then authentication, then the quota of
 * the principal.
 */
export class RequestAccess implements Access {
  readonly #deps: RequestAccessDeps
  readonly #watches: Watches
  readonly #callerDeps: CallerDeps
  #rules: Rules | undefined
  #version = 0

  constructor(deps: RequestAccessDeps) {
    const { authenticator, audit, metrics, quotas, now } = deps
    this.#deps = deps
    this.#rules = deps.rules
    this.#watches = new Watches({
      authenticate: incoming => authenticator.authenticate(incoming),
      allows: (principal, operation, target) => this.#allows(principal, operation, target),
      onEnded: ({ incoming, identity, operation, target }, error) => {
        audit.refused(incoming, identity, error.message, { operation, ...target })
        this.#counted(error)
      },
      clock: () => quotas.now(),
      now
    })
    const version = (): number => this.#version
    const present: PresentAccess = {
      get version() {
        return version()
      },
      // The process that has passed a request on has its credentials.
      refusalOf: (incoming, identity) =>
        identity.method === 'forwarded' ? undefined : authenticator.refusalSince(incoming, identity),
      grantsOf: principal => this.#rules?.grantsOf(principal)
    }
    this.#callerDeps = { quotas, audit, metrics, watches: this.#watches, present }
  }

  /** Uses other rules from now on. Once rules were needed, they are needed as long as the process lives. */
  replaceRules(access: AccessSettings, isAuthenticated: boolean): void {
    const isOpen = this.#rules === undefined && !hasRules(access, isAuthenticated)
    this.#rules = isOpen ? undefined : new Rules(access.rules)
  }

  /** Ends open requests that the present credentials and rules do not allow. */
  checkAll(): void {
    this.#version++
    this.#watches.checkAll()
  }

  #allows(principal: string, operation: Operation, target: Target): boolean {
    return this.#rules?.grantsOf(principal).allows(operation, target) ?? true
  }

  /**
   * @param done called once: in the same tick, unless a password or signature has to be verified; with an error when
   * the request is refused
   */
  enter(incoming: IncomingRequest, done: (error?: CastellanError) => void): void {
    const { quotas, authenticator } = this.#deps
    const now = quotas.now()
    const byAddress = incoming.isExempt === true ? undefined : quotas.ofAddress(incoming.address, now)
    const tooMany = byAddress && quotas.refusalOf(byAddress, now)
    if (tooMany) {
      done(this.#refused(incoming, tooMany))
      return
    }
    const authentication = authenticator.authenticate(incoming)
    if (authentication instanceof Promise) {
      this.#byPresent(incoming, authentication)
        .then(result => this.#settle(incoming, result, byAddress, quotas.now(), done))
        .catch(done)
    } else this.#settle(incoming, authentication, byAddress, now, done)
  }

  /**
   * Verifies again if the configured credentials were replaced meanwhile: the result may hold only for the former ones.
   */
  #byPresent(incoming: IncomingRequest, verifying: Promise<Authentication>): Promise<Authentication> {
    const version = this.#version
    return verifying.then(result => {
      if (version === this.#version) return result
      const again = this.#deps.authenticator.authenticate(incoming)
      return again instanceof Promise ? this.#byPresent(incoming, again) : again
    })
  }

  admitForwarded(request: IncomingMessage, { principal, address, requestId }: PassedOn): ForwardedCaller {
    const incoming: IncomingRequest = {
      request,
      requestId,
      authorization: undefined,
      socket: request.socket,
      address: '',
      peer: address,
      isUnixSocket: false,
      onEnd: () => undefined
    }
    const identity = { principal, method: 'forwarded', validUntil: Number.POSITIVE_INFINITY } as const
    const grants = this.#rules?.grantsOf(principal)
    const caller = new PassedOnCaller(this.#callerDeps, incoming, identity, grants, undefined, undefined)
    admit(request, caller)
    return caller
  }

  /** A request that was not admitted may do nothing. */
  callerOf(request: Called): Caller {
    return admittedCaller(request) ?? deniedCaller
  }

  #settle(
    incoming: IncomingRequest,
    authentication: Authentication,
    byAddress: QuotaAccount | undefined,
    now: number,
    done: (error?: CastellanError) => void
  ): void {
    if (isRefusal(authentication)) {
      done(this.#refused(incoming, authentication))
      return
    }
    const { quotas } = this.#deps
    const { principal } = authentication
    const byPrincipal = incoming.isExempt === true ? undefined : quotas.ofPrincipal(principal, now)
    const admitted = (tooMany?: CastellanError): void => {
      if (tooMany === undefined) {
        const grants = this.#rules?.grantsOf(principal)
        const caller = new RequestCaller(this.#callerDeps, incoming, authentication, grants, byAddress, byPrincipal)
        admit(incoming.request, caller)
      }
      done(tooMany && this.#refused(incoming, tooMany, authentication))
    }
    const tooMany = byPrincipal && quotas.refusalOf(byPrincipal, now)
    if (tooMany !== undefined || !byPrincipal?.limitsRequests) admitted(tooMany)
    else admitted(this.#take(incoming, byPrincipal))
  }

  /** Counts a request as in flight until it ends, or returns the reason for refusing it. */
  #take(incoming: IncomingRequest, account: QuotaAccount): CastellanError | undefined {
    const { quotas, metrics } = this.#deps
    const error = quotas.enter(account)
    if (error) return error
    metrics.requestsInFlight.value++
    incoming.onEnd(() => {
      metrics.requestsInFlight.value--
      account.leave()
    })
    return undefined
  }

  #counted(error: CastellanError): CastellanError {
    this.#deps.metrics.refused(error)
    return error
  }

  #refused(incoming: IncomingRequest, error: CastellanError, identity?: Identity): CastellanError {
    this.#deps.audit.refused(incoming, identity, error.message)
    return this.#counted(error)
  }
}

/** The settings of access checks besides authentication. */
export interface RequestAccessSettings {
  readonly access: AccessSettings
  readonly quotas: QuotaSettings
}

/**
 * The access checks of a process; `undefined` when nothing about access is configured, so that requests need no check
 * at all.
 *
 * @param isAuthenticated whether clients can authenticate, which makes rules necessary
 */
export function createRequestAccess(
  { access, quotas: quotaSettings }: RequestAccessSettings,
  deps: {
    readonly authenticator: Authenticator
    readonly isAuthenticated: boolean
    readonly metrics: AccessMetrics
    readonly auditSink: AuditSink
    readonly clock: MonotonicClock
    /** Epoch milliseconds. */
    readonly now: () => number
  }
): RequestAccess | undefined {
  const { authenticator, isAuthenticated, metrics, auditSink, clock, now } = deps
  const quotas = new Quotas(quotaSettings, clock)
  const rules = hasRules(access, isAuthenticated) ? new Rules(access.rules) : undefined
  if (rules === undefined && !quotas.isActive && access.audit === 'off') return undefined
  return new RequestAccess({ authenticator, rules, quotas, metrics, audit: new Audit(access.audit, auditSink), now })
}

/** Whether rules apply. Without rules and authentication everything is allowed. */
const hasRules = ({ rules }: AccessSettings, isAuthenticated: boolean): boolean => isAuthenticated || rules.length > 0
