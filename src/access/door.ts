import type { IncomingMessage } from 'node:http'
import type { AccessSettings, QuotaSettings } from '../config/access-settings.js'
import type { CastellanError } from '../errors.js'
import type { MonotonicClock } from '../model.js'
import type { Access, Caller } from './access.js'
import type { AccessMetrics } from './access-metrics.js'
import { Audit, type AuditSink } from './audit.js'
import type { Authenticator } from './authenticator.js'
import { type Authentication, type Identity, isRefusal } from './identity.js'
import type { QuotaAccount } from './quota-account.js'
import { Quotas } from './quotas.js'
import { RequestCaller } from './request-caller.js'
import { Rules } from './rules.js'

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

/** A request that wants to come in. */
export interface Visit {
  readonly request: IncomingMessage
  readonly requestId: string
  /** Empty on a unix socket, whose clients share no quota of an address. */
  readonly address: string
  readonly isUnixSocket: boolean
  /** Calls back when the request has ended, whichever way; at once when it already has. */
  onEnd(ended: () => void): void
}

/** Lets requests in: quota of the address, then who it is, then quota of the principal. All of it before the body. */
export class Door implements Access {
  readonly #deps: DoorDeps

  constructor(deps: DoorDeps) {
    this.#deps = deps
  }

  /**
   * @param done called once, in the same turn unless a password or a signature has to be verified; with an error when the
   *   request is not let in
   */
  enter(visit: Visit, done: (error?: CastellanError) => void): void {
    const { quotas, authenticator } = this.#deps
    const byAddress = visit.address === '' ? undefined : quotas.ofAddress(visit.address)
    const tooMany = byAddress && this.#take(visit, byAddress)
    if (tooMany) {
      done(tooMany)
      return
    }
    const { authorization } = visit.request.headers
    const { address, isUnixSocket } = visit
    const arrival = { authorization, socket: visit.request.socket, address, isUnixSocket }
    const authentication = authenticator.authenticate(arrival)
    if (authentication instanceof Promise) {
      authentication.then(
        result => done(this.#settle(visit, result, byAddress)),
        (error: CastellanError) => done(error)
      )
    } else done(this.#settle(visit, authentication, byAddress))
  }

  /** A request that has not come through the door may do nothing. */
  callerOf(request: Called): Caller {
    return request[CALLER] ?? this.#callerOf(NOBODY, { requestId: '', address: '' }, [], new Rules([]))
  }

  #settle(
    visit: Visit,
    authentication: Authentication,
    byAddress: QuotaAccount | undefined
  ): CastellanError | undefined {
    if (isRefusal(authentication)) {
      this.#refused(visit, authentication)
      return authentication
    }
    const byPrincipal = this.#deps.quotas.ofPrincipal(authentication.principal)
    const tooMany = byPrincipal && this.#take(visit, byPrincipal)
    if (tooMany) return tooMany
    const accounts = [byAddress, byPrincipal].filter(account => account !== undefined)
    const request: Called = visit.request
    request[CALLER] = this.#callerOf(authentication, visit, accounts, this.#deps.rules)
    return undefined
  }

  #callerOf(
    identity: Identity,
    { requestId, address }: Pick<Visit, 'requestId' | 'address'>,
    accounts: readonly QuotaAccount[],
    rules: Rules | undefined
  ): Caller {
    const grants = rules?.grantsOf(identity.principal)
    return new RequestCaller(this.#deps, { identity, grants, accounts, address, requestId })
  }

  /** Counts a request in until it ends, or says why not. */
  #take(visit: Visit, account: QuotaAccount): CastellanError | undefined {
    const { quotas, metrics } = this.#deps
    const error = quotas.enter(account)
    if (error) {
      metrics.refused(error.code)
      return error
    }
    metrics.requestsInFlight.value++
    visit.onEnd(() => {
      metrics.requestsInFlight.value--
      account.leave()
    })
    return undefined
  }

  #refused({ address, requestId }: Visit, error: CastellanError): void {
    this.#deps.metrics.refused(error.code)
    const { audit } = this.#deps
    if (audit.wants(false)) audit.write({ allowed: false, address, reason: error.message, requestId })
  }
}

const NOBODY: Identity = { principal: 'nobody', method: 'none', validUntil: 0 }

/** What a door is made of besides the authenticator. */
export interface DoorSettings {
  readonly access: AccessSettings
  readonly quotas: QuotaSettings
}

/**
 * The door of a process, or `undefined` when nothing about access is configured: then requests are not even looked at.
 *
 * @param isAuthenticated whether clients can prove who they are, which makes rules necessary
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
