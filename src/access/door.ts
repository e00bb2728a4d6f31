import type { IncomingMessage } from 'node:http'
import type { CastellanError } from '../errors.js'
import type { MonotonicClock } from '../model.js'
import { type Access, type Caller, deniedCaller } from './access.js'
import type { AccessMetrics } from './access-metrics.js'
import { Audit, type AuditSink } from './audit.js'
import type { Authenticator } from './authenticator.js'
import { type Authentication, isRefusal, type Visit } from './identity.js'
import type { QuotaAccount } from './quota-account.js'
import { Quotas } from './quotas.js'
import { RequestCaller } from './request-caller.js'
import { Rules } from './rules.js'
import type { AccessSettings, QuotaSettings } from './settings.js'

const CALLER = Symbol('caller')
type Called = IncomingMessage & { [CALLER]?: Caller }

export interface DoorDeps {
  readonly authenticator: Authenticator
  /** `undefined`: no rules apply, since nothing about access is configured. */
  readonly rules: Rules | undefined
  readonly quotas: Quotas
  readonly audit: Audit
  readonly metrics: AccessMetrics
}

/**
 * Admits requests before their body is read: first the quota of the address, then authentication, then the quota of
 * the principal.
 */
export class Door implements Access {
  readonly #deps: DoorDeps

  constructor(deps: DoorDeps) {
    this.#deps = deps
  }

  /**
   * @param done called once: in the same turn, unless a password or signature has to be verified; with an error when
   * the request is refused
   */
  enter(visit: Visit, done: (error?: CastellanError) => void): void {
    const { quotas, authenticator } = this.#deps
    const now = quotas.now()
    const byAddress = quotas.ofAddress(visit.address, now)
    const tooMany = byAddress && quotas.refusalOf(byAddress, now)
    if (tooMany) {
      done(this.#counted(tooMany))
      return
    }
    const authentication = authenticator.authenticate(visit)
    if (authentication instanceof Promise) {
      authentication.then(result => done(this.#settle(visit, result, byAddress, quotas.now())), done)
    } else done(this.#settle(visit, authentication, byAddress, now))
  }

  /** A request that was not admitted may do nothing. */
  callerOf(request: Called): Caller {
    return request[CALLER] ?? deniedCaller
  }

  #settle(
    visit: Visit,
    authentication: Authentication,
    byAddress: QuotaAccount | undefined,
    now: number
  ): CastellanError | undefined {
    if (isRefusal(authentication)) return this.#refused(visit, authentication)
    const { quotas, rules } = this.#deps
    const { principal } = authentication
    const byPrincipal = quotas.ofPrincipal(principal, now)
    const tooMany = byPrincipal && (quotas.refusalOf(byPrincipal, now) ?? this.#take(visit, byPrincipal))
    if (tooMany) return this.#counted(tooMany)
    const request: Called = visit.request
    request[CALLER] = new RequestCaller(
      this.#deps,
      visit,
      authentication,
      rules?.grantsOf(principal),
      byAddress,
      byPrincipal
    )
    return undefined
  }

  /** Counts a request as in flight until it ends, or returns the reason for refusing it. */
  #take(visit: Visit, account: QuotaAccount): CastellanError | undefined {
    const { quotas, metrics } = this.#deps
    if (!account.limitsRequests) return undefined
    const error = quotas.enter(account)
    if (error) return error
    metrics.requestsInFlight.value++
    visit.onEnd(() => {
      metrics.requestsInFlight.value--
      account.leave()
    })
    return undefined
  }

  #counted(error: CastellanError): CastellanError {
    this.#deps.metrics.refused(error.code)
    return error
  }

  #refused({ peer, requestId }: Visit, error: CastellanError): CastellanError {
    const { audit } = this.#deps
    if (audit.wants(false)) audit.write({ allowed: false, address: peer, reason: error.message, requestId })
    return this.#counted(error)
  }
}

/** The parts of a door besides the authenticator. */
export interface DoorSettings {
  readonly access: AccessSettings
  readonly quotas: QuotaSettings
}

/**
 * The door of a process; `undefined` when nothing about access is configured, so that requests need no check at all.
 *
 * @param isAuthenticated whether clients can authenticate, which makes rules necessary
 */
export function createDoor(
  { access, quotas: quotaSettings }: DoorSettings,
  deps: {
    readonly authenticator: Authenticator
    readonly isAuthenticated: boolean
    readonly metrics: AccessMetrics
    readonly auditSink: AuditSink
    readonly clock: MonotonicClock
  }
): Door | undefined {
  const { authenticator, isAuthenticated, metrics, auditSink, clock } = deps
  const quotas = new Quotas(quotaSettings, clock)
  const hasRules = isAuthenticated || access.rules.length > 0
  if (!hasRules && !quotas.isActive && access.audit === 'off') return undefined
  const rules = hasRules ? new Rules(access.rules) : undefined
  return new Door({ authenticator, rules, quotas, metrics, audit: new Audit(access.audit, auditSink) })
}
