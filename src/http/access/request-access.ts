import type { IncomingMessage } from 'node:http'
import type { CastellanError, ForbiddenError } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import { printable, shortened } from '../../core/printable.js'
import {
  type Access,
  type AccessTarget,
  type Authentication,
  admit,
  admittedCaller,
  type Called,
  type Caller,
  deniedCaller,
  type ForwardedCaller,
  forbiddenByRules,
  type Identity,
  type IncomingRequest,
  isRefusal,
  type Operation,
  type PassedOn
} from './access.js'
import { type AccessMetrics, Audit, type AuditLine, type AuditSink, namedTopics } from './audit.js'
import type { Authenticator } from './authenticator.js'
import { charge, type QuotaAccount, Quotas } from './quotas.js'
import { type Grants, Rules } from './rules.js'
import type { AccessSettings, QuotaSettings } from './settings.js'
import { Watches } from './watches.js'

/** The caller of one request. One caller is made per request, so it only references existing objects. */
class RequestCaller implements Caller {
  readonly #host: RequestAccess
  readonly #incoming: IncomingRequest
  readonly #identity: Identity
  /** `undefined`: no rules apply, everything is allowed. */
  #grants: Grants | undefined
  /** The version of credentials and rules that was checked last. */
  #version: number
  #allowed: { readonly operation: Operation; readonly target: AccessTarget } | undefined
  readonly #accounts: readonly QuotaAccount[]

  constructor(host: RequestAccess, incoming: IncomingRequest, identity: Identity, accounts: readonly QuotaAccount[]) {
    this.#host = host
    this.#incoming = incoming
    this.#identity = identity
    this.#grants = host.grantsOf(identity.principal)
    this.#version = host.version
    this.#accounts = accounts
  }

  get principal(): string {
    return this.#identity.principal
  }

  get isRuled(): boolean {
    return this.#grants !== undefined
  }

  allows(operation: Operation, target: AccessTarget = {}): boolean {
    return this.#grants?.allows(operation, target) ?? true
  }

  refusalOf(operation: Operation, target: AccessTarget = {}): CastellanError | undefined {
    const gone = this.#refusalSince()
    if (gone !== undefined) return gone
    const allowed = this.allows(operation, target)
    if (this.#host.audit.wants(allowed)) this.#audit(operation, allowed, target)
    if (!allowed) return this.#forbidden(operation, target)
    this.#allowed = { operation, target }
    return undefined
  }

  refusalOfUnruled(): ForbiddenError | undefined {
    if (this.#grants === undefined || this.#grants.isAny) return undefined
    this.#host.audit.refused(this.#incoming, this.#identity, 'no rule names this principal')
    const error = forbiddenByRules(`${this.principal} may not do this: no rule names it`)
    this.#host.metrics.refused(error)
    return error
  }

  refusalOfTopics(operation: Operation, records: readonly { readonly topic: string }[]): CastellanError | undefined {
    const gone = this.#refusalSince()
    if (gone !== undefined) return gone
    const denied = this.#deniedTopic(operation, records)
    const allowed = denied === undefined
    if (this.#host.audit.wants(allowed)) {
      this.#audit(operation, allowed, allowed ? { topics: namedTopics(records) } : { topics: [denied] })
    }
    return allowed ? undefined : this.#forbidden(operation, { topic: denied })
  }

  watch(operation: Operation, target: AccessTarget, onRefused: (error: CastellanError) => void): void {
    this.#host.watches.add({ incoming: this.#incoming, identity: this.#identity, operation, target, onRefused })
  }

  noteCreated(target: AccessTarget): void {
    if (this.#host.audit.wants(true)) this.#audit('create', true, { ...target, reason: 'a new share group' })
  }

  charge(records: number, bytes: number): CastellanError | undefined {
    const gone = this.#refusalSince()
    if (gone !== undefined) return gone
    const error = charge(this.#accounts, records, bytes)
    return error && this.#host.refused(this.#incoming, error, this.#identity)
  }

  spend(records: number, bytes: number): void {
    for (const account of this.#accounts) account.spend(records, bytes)
  }

  /** Why the request may not go on: credentials or rules were replaced while its body was under way. */
  #refusalSince(): CastellanError | undefined {
    const host = this.#host
    if (this.#version === host.version) return undefined
    const error = host.refusalSince(this.#incoming, this.#identity)
    if (error !== undefined) return host.refused(this.#incoming, error, this.#identity)
    this.#version = host.version
    this.#grants = host.grantsOf(this.principal)
    const former = this.#allowed
    if (former === undefined || this.allows(former.operation, former.target)) return undefined
    if (host.audit.wants(false)) this.#audit(former.operation, false, former.target)
    return this.#forbidden(former.operation, former.target)
  }

  /** The first topic that is refused. Neighbouring records mostly have the same topic. */
  #deniedTopic(operation: Operation, records: readonly { readonly topic: string }[]): string | undefined {
    const grants = this.#grants
    if (grants === undefined) return undefined
    let last: string | undefined
    for (const { topic } of records) {
      if (topic === last) continue
      if (!grants.allowsTopic(operation, topic)) return topic
      last = topic
    }
    return undefined
  }

  #forbidden(operation: Operation, { topic }: AccessTarget): ForbiddenError {
    const named = topic === undefined ? '' : `, for the topic ${printable(JSON.stringify(shortened(topic)))}`
    const error = forbiddenByRules(`${this.principal} may not do this: no rule allows ${operation} here${named}`)
    this.#host.metrics.refused(error)
    return error
  }

  #audit(operation: Operation, allowed: boolean, what: Pick<AuditLine, 'topic' | 'topics' | 'group' | 'reason'>): void {
    const { principal, method } = this.#identity
    const { peer: address, requestId } = this.#incoming
    this.#host.audit.write({ allowed, principal, method, address, operation, ...what, requestId })
  }
}

/** The caller of a request that another process has passed on: its quotas are charged there. */
class PassedOnCaller extends RequestCaller implements ForwardedCaller {
  readonly charged = { records: 0, bytes: 0 }

  override charge(records: number, bytes: number): CastellanError | undefined {
    this.charged.records += records
    this.charged.bytes += bytes
    return super.charge(records, bytes)
  }

  override spend(records: number, bytes: number): void {
    this.charged.records += records
    this.charged.bytes += bytes
  }
}

interface RequestAccessDeps {
  readonly authenticator: Authenticator
  /** Whether clients can authenticate, which makes rules necessary. */
  readonly isAuthenticated: boolean
  readonly metrics: AccessMetrics
  readonly auditSink: AuditSink
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * Admits requests before their body is read: first the quota of the address, then authentication, then the quota of
 * the principal.
 */
export class RequestAccess implements Access {
  readonly audit: Audit
  readonly metrics: AccessMetrics
  readonly watches: Watches
  /** How often credentials and rules have been replaced. */
  version = 0
  readonly #authenticator: Authenticator
  readonly #quotas: Quotas
  /** `undefined`: no rules apply, since nothing about access is configured. */
  #rules: Rules | undefined

  private constructor(access: AccessSettings, quotas: Quotas, deps: RequestAccessDeps) {
    const { authenticator, isAuthenticated, auditSink, clock, now } = deps
    this.audit = new Audit(access.audit, auditSink)
    this.metrics = deps.metrics
    this.#authenticator = authenticator
    this.#quotas = quotas
    this.#rules = hasRules(access, isAuthenticated) ? new Rules(access.rules) : undefined
    this.watches = new Watches({
      authenticate: incoming => authenticator.authenticate(incoming),
      allows: (principal, operation, target) => this.grantsOf(principal)?.allows(operation, target) ?? true,
      onEnded: ({ incoming, identity, operation, target }, error) => {
        this.audit.refused(incoming, identity, error.message, { operation, ...target })
        this.metrics.refused(error)
      },
      clock,
      now
    })
  }

  /** @returns `undefined` when nothing about access is configured, so that requests need no check at all */
  static of(
    { access, quotas: settings }: { access: AccessSettings; quotas: QuotaSettings },
    deps: RequestAccessDeps
  ): RequestAccess | undefined {
    const quotas = new Quotas(settings, deps.clock)
    const isOpen = !hasRules(access, deps.isAuthenticated) && !quotas.isActive && access.audit === 'off'
    return isOpen ? undefined : new RequestAccess(access, quotas, deps)
  }

  /** Uses other rules from now on. Once rules were needed, they are needed as long as the process lives. */
  replaceRules(access: AccessSettings, isAuthenticated: boolean): void {
    const isOpen = this.#rules === undefined && !hasRules(access, isAuthenticated)
    this.#rules = isOpen ? undefined : new Rules(access.rules)
  }

  /** Ends open requests that the present credentials and rules do not allow. */
  checkAll(): void {
    this.version++
    this.watches.checkAll()
  }

  /** @returns `undefined`: no rules apply */
  grantsOf(principal: string): Grants | undefined {
    return this.#rules?.grantsOf(principal)
  }

  /**
   * Why a client that was admitted before may not continue, as far as this is known without a verification. The process that
   * has passed a request on has its credentials.
   */
  refusalSince(incoming: IncomingRequest, identity: Identity): CastellanError | undefined {
    return identity.method === 'forwarded' ? undefined : this.#authenticator.refusalSince(incoming, identity)
  }

  /**
   * @param done called once: in the same tick, unless a password or signature has to be verified; with an error when
   * the request is refused
   */
  enter(incoming: IncomingRequest, done: (error?: CastellanError) => void): void {
    const byAddress = incoming.isExempt === true ? undefined : this.#quotas.ofAddress(incoming.address)
    const tooMany = byAddress?.refusal()
    if (tooMany !== undefined) {
      done(this.refused(incoming, tooMany))
      return
    }
    const accounts = byAddress === undefined ? NO_ACCOUNTS : [byAddress]
    const authentication = this.#authenticator.authenticate(incoming)
    if (authentication instanceof Promise) {
      // A later request of the connection could otherwise be produced first, because its credentials are known or
      // verified sooner.
      incoming.hold?.()
      const goOn: typeof done = error => {
        incoming.letGo?.()
        done(error)
      }
      this.#byPresent(incoming, authentication)
        .then(result => this.#settle(incoming, result, accounts, goOn))
        .catch(goOn)
    } else this.#settle(incoming, authentication, accounts, done)
  }

  /**
   * Verifies again if the configured credentials were replaced meanwhile: the result may hold only for the former ones.
   */
  #byPresent(incoming: IncomingRequest, verifying: Promise<Authentication>): Promise<Authentication> {
    const { version } = this
    return verifying.then(result => {
      if (version === this.version) return result
      const again = this.#authenticator.authenticate(incoming)
      return again instanceof Promise ? this.#byPresent(incoming, again) : again
    })
  }

  admitForwarded(request: IncomingMessage, { principal, address, requestId }: PassedOn): ForwardedCaller {
    const { socket } = request
    const unknown = { authorization: undefined, address: '', isUnixSocket: false, onEnd: () => undefined }
    const incoming: IncomingRequest = { request, requestId, socket, peer: address, ...unknown }
    const identity = { principal, method: 'forwarded', validUntil: Number.POSITIVE_INFINITY } as const
    const caller = new PassedOnCaller(this, incoming, identity, NO_ACCOUNTS)
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
    byAddress: readonly QuotaAccount[],
    done: (error?: CastellanError) => void
  ): void {
    if (isRefusal(authentication)) {
      done(this.refused(incoming, authentication))
      return
    }
    const account = incoming.isExempt === true ? undefined : this.#quotas.ofPrincipal(authentication.principal)
    const tooMany = account?.refusal() ?? (account?.limitsRequests ? this.#take(incoming, account) : undefined)
    const accounts = account === undefined ? byAddress : [...byAddress, account]
    if (tooMany === undefined) admit(incoming.request, new RequestCaller(this, incoming, authentication, accounts))
    done(tooMany && this.refused(incoming, tooMany, authentication))
  }

  /** Counts a request as in flight until it ends, or returns the reason for refusing it. */
  #take(incoming: IncomingRequest, account: QuotaAccount): CastellanError | undefined {
    const error = account.enter()
    if (error) return error
    const { requestsInFlight } = this.metrics
    requestsInFlight.value++
    incoming.onEnd(() => {
      requestsInFlight.value--
      account.leave()
    })
    return undefined
  }

  refused(incoming: IncomingRequest, error: CastellanError, identity?: Identity): CastellanError {
    this.audit.refused(incoming, identity, error.message)
    this.metrics.refused(error)
    return error
  }
}

const NO_ACCOUNTS: readonly QuotaAccount[] = []

/** Whether rules apply. Without rules and authentication everything is allowed. */
const hasRules = ({ rules }: AccessSettings, isAuthenticated: boolean): boolean => isAuthenticated || rules.length > 0
