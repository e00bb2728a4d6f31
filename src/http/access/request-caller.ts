import { type CastellanError, ForbiddenError } from '../../core/errors.js'
import type { Caller, ForwardedCaller, Identity, IncomingRequest, Operation, Target } from './access.js'
import { type AccessMetrics, type Audit, namedTopics } from './audit.js'
import { charge, type QuotaAccount } from './quotas.js'
import type { Grants } from './rules.js'
import type { Watches } from './watches.js'

/** What all callers share: credentials and rules as they are now. */
export interface CallerHost {
  readonly audit: Audit
  readonly metrics: AccessMetrics
  readonly watches: Watches
  /** How often credentials and rules have been replaced. */
  readonly version: number
  /** Why a client that was admitted before may not continue, as far as this is known without a verification. */
  refusalSince(incoming: IncomingRequest, identity: Identity): CastellanError | undefined
  /** `undefined`: no rules apply. */
  grantsOf(principal: string): Grants | undefined
  /** Writes down and counts a refusal. */
  refused(incoming: IncomingRequest, error: CastellanError, identity?: Identity): CastellanError
}

/** The caller of one request. One caller is made per request, so it only references existing objects. */
export class RequestCaller implements Caller {
  readonly #host: CallerHost
  readonly #incoming: IncomingRequest
  readonly #identity: Identity
  /** `undefined`: no rules apply, everything is allowed. */
  #grants: Grants | undefined
  /** The version of credentials and rules that was checked last. */
  #version: number
  /** The last question that was allowed. */
  #allowed: { readonly operation: Operation; readonly target: Target } | undefined
  readonly #accounts: readonly QuotaAccount[]

  constructor(host: CallerHost, incoming: IncomingRequest, identity: Identity, accounts: readonly QuotaAccount[]) {
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

  allows(operation: Operation, target: Target = {}): boolean {
    return this.#grants?.allows(operation, target) ?? true
  }

  refusalOf(operation: Operation, target: Target = {}): CastellanError | undefined {
    const gone = this.#refusalSince()
    if (gone !== undefined) return gone
    const allowed = this.allows(operation, target)
    if (this.#host.audit.wants(allowed)) this.#audit(operation, allowed, target)
    if (!allowed) return this.#forbidden(operation)
    this.#allowed = { operation, target }
    return undefined
  }

  refusalOfUnruled(): ForbiddenError | undefined {
    if (this.#grants === undefined || this.#grants.isAny) return undefined
    this.#host.audit.refused(this.#incoming, this.#identity, 'no rule names this principal')
    const error = new ForbiddenError(`${this.principal} may not do this: no rule names it (access.rules)`)
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
    return allowed ? undefined : this.#forbidden(operation)
  }

  watch(operation: Operation, target: Target, onRefused: (error: CastellanError) => void): void {
    this.#host.watches.add({ incoming: this.#incoming, identity: this.#identity, operation, target, onRefused })
  }

  charge(records: number, bytes: number): CastellanError | undefined {
    const gone = this.#refusalSince()
    if (gone !== undefined) return gone
    const error = charge(this.#accounts, records, bytes)
    return error && this.#host.refused(this.#incoming, error, this.#identity)
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
    return this.#forbidden(former.operation)
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

  #forbidden(operation: Operation): ForbiddenError {
    const text = `${this.principal} may not do this: no rule allows ${operation} here (access.rules)`
    const error = new ForbiddenError(text)
    this.#host.metrics.refused(error)
    return error
  }

  #audit(operation: Operation, allowed: boolean, what: Target & { readonly topics?: readonly string[] }): void {
    const { principal, method } = this.#identity
    const { peer: address, requestId } = this.#incoming
    this.#host.audit.write({ allowed, principal, method, address, operation, ...what, requestId })
  }
}

/** The caller of a request that another process has passed on: its quotas are charged there. */
export class PassedOnCaller extends RequestCaller implements ForwardedCaller {
  readonly charged = { records: 0, bytes: 0 }

  override charge(records: number, bytes: number): CastellanError | undefined {
    this.charged.records += records
    this.charged.bytes += bytes
    return super.charge(records, bytes)
  }
}
