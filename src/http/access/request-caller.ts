import { type CastellanError, ForbiddenError } from '../../core/errors.js'
import type { Caller, ForwardedCaller, Identity, IncomingRequest, Operation, Target } from './access.js'
import { type AccessMetrics, type Audit, namedTopics } from './audit.js'
import type { QuotaAccount, Quotas } from './quotas.js'
import type { Grants } from './rules.js'
import type { Watches } from './watches.js'

/** The parts that all callers share. */
export interface CallerDeps {
  readonly quotas: Quotas
  readonly audit: Audit
  readonly metrics: AccessMetrics
  readonly watches: Watches
  readonly present: PresentAccess
}

/** Credentials and rules as they are now. */
export interface PresentAccess {
  /** How often credentials and rules have been replaced. */
  readonly version: number
  /** Why a client that was admitted before may not continue, as far as this is known without a verification. */
  refusalOf(incoming: IncomingRequest, identity: Identity): CastellanError | undefined
  /** `undefined`: no rules apply. */
  grantsOf(principal: string): Grants | undefined
}

/** The caller of one request. One caller is made per request, so it only references existing objects. */
export class RequestCaller implements Caller {
  readonly #deps: CallerDeps
  readonly #incoming: IncomingRequest
  readonly #identity: Identity
  #grants: Grants | undefined
  /** The version of credentials and rules that was checked last. */
  #version: number
  /** The last question that was allowed. */
  #allowed: { readonly operation: Operation; readonly target: Target } | undefined
  readonly #byAddress: QuotaAccount | undefined
  readonly #byPrincipal: QuotaAccount | undefined

  /** @param grants `undefined`: no rules apply, everything is allowed */
  constructor(
    deps: CallerDeps,
    incoming: IncomingRequest,
    identity: Identity,
    grants: Grants | undefined,
    byAddress: QuotaAccount | undefined,
    byPrincipal: QuotaAccount | undefined
  ) {
    this.#deps = deps
    this.#incoming = incoming
    this.#identity = identity
    this.#grants = grants
    this.#version = deps.present.version
    this.#byAddress = byAddress
    this.#byPrincipal = byPrincipal
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
    if (this.#deps.audit.wants(allowed)) this.#audit(operation, allowed, target)
    if (!allowed) return this.#forbidden(operation)
    this.#allowed = { operation, target }
    return undefined
  }

  refusalOfUnruled(): ForbiddenError | undefined {
    if (this.#grants === undefined || this.#grants.isAny) return undefined
    this.#deps.audit.refused(this.#incoming, this.#identity, 'no rule names this principal')
    const error = new ForbiddenError(`${this.principal} may not do this: no rule names it (access.rules)`)
    this.#deps.metrics.refused(error)
    return error
  }

  refusalOfTopics(operation: Operation, records: readonly { readonly topic: string }[]): CastellanError | undefined {
    const gone = this.#refusalSince()
    if (gone !== undefined) return gone
    const denied = this.#deniedTopic(operation, records)
    const allowed = denied === undefined
    if (this.#deps.audit.wants(allowed)) {
      this.#audit(operation, allowed, allowed ? { topics: namedTopics(records) } : { topics: [denied] })
    }
    return allowed ? undefined : this.#forbidden(operation)
  }

  watch(operation: Operation, target: Target, onRefused: (error: CastellanError) => void): void {
    this.#deps.watches.add({ incoming: this.#incoming, identity: this.#identity, operation, target, onRefused })
  }

  charge(records: number, bytes: number): CastellanError | undefined {
    const gone = this.#refusalSince()
    if (gone !== undefined) return gone
    if (this.#byAddress === undefined && this.#byPrincipal === undefined) return undefined
    const error = this.#deps.quotas.charge(this.#byAddress, this.#byPrincipal, records, bytes)
    return error && this.#refused(error)
  }

  #refused(error: CastellanError): CastellanError {
    this.#deps.audit.refused(this.#incoming, this.#identity, error.message)
    this.#deps.metrics.refused(error)
    return error
  }

  /** Why the request may not go on: credentials or rules were replaced while its body was under way. */
  #refusalSince(): CastellanError | undefined {
    const { present, audit } = this.#deps
    if (this.#version === present.version) return undefined
    const error = present.refusalOf(this.#incoming, this.#identity)
    if (error !== undefined) return this.#refused(error)
    this.#version = present.version
    this.#grants = present.grantsOf(this.principal)
    const former = this.#allowed
    if (former === undefined || this.allows(former.operation, former.target)) return undefined
    if (audit.wants(false)) this.#audit(former.operation, false, former.target)
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
    this.#deps.metrics.refused(error)
    return error
  }

  #audit(operation: Operation, allowed: boolean, what: Target & { readonly topics?: readonly string[] }): void {
    const { principal, method } = this.#identity
    const { peer: address, requestId } = this.#incoming
    this.#deps.audit.write({ allowed, principal, method, address, operation, ...what, requestId })
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
