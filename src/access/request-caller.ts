import { ForbiddenError, type QuotaExceededError } from '../errors.js'
import type { Caller, Operation, Target } from './access.js'
import type { AccessMetrics } from './access-metrics.js'
import { type Audit, namedTopics } from './audit.js'
import type { Identity } from './identity.js'
import type { QuotaAccount } from './quota-account.js'
import type { Quotas } from './quotas.js'
import type { Grants } from './rules.js'

/** What all callers share. */
export interface CallerDeps {
  readonly quotas: Quotas
  readonly audit: Audit
  readonly metrics: AccessMetrics
}

/** What is known of one request. */
export interface CallerOptions {
  readonly identity: Identity
  /** `undefined`: no rules apply, everything is allowed. */
  readonly grants: Grants | undefined
  readonly accounts: readonly QuotaAccount[]
  readonly address: string
  readonly requestId: string
}

/** The caller of one request. */
export class RequestCaller implements Caller {
  readonly #deps: CallerDeps
  readonly #options: CallerOptions

  constructor(deps: CallerDeps, options: CallerOptions) {
    this.#deps = deps
    this.#options = options
  }

  get principal(): string {
    return this.#options.identity.principal
  }

  allows(operation: Operation, target: Target = {}): boolean {
    return this.#options.grants?.allows(operation, target) ?? true
  }

  refusalOf(operation: Operation, target: Target = {}): ForbiddenError | undefined {
    const allowed = this.allows(operation, target)
    if (this.#deps.audit.wants(allowed)) this.#audit(operation, allowed, target)
    return allowed ? undefined : this.#forbidden(operation)
  }

  refusalOfTopics(operation: Operation, records: readonly { readonly topic: string }[]): ForbiddenError | undefined {
    const denied = this.#deniedTopic(operation, records)
    const allowed = denied === undefined
    if (this.#deps.audit.wants(allowed)) {
      this.#audit(operation, allowed, allowed ? { topics: namedTopics(records) } : { topics: [denied] })
    }
    return allowed ? undefined : this.#forbidden(operation)
  }

  charge(records: number, bytes: number): QuotaExceededError | undefined {
    const { accounts } = this.#options
    if (accounts.length === 0) return undefined
    const error = this.#deps.quotas.charge(accounts, records, bytes)
    if (error) this.#deps.metrics.refused(error.code)
    return error
  }

  /** The first topic that may not be used. Neighbouring records mostly have the same. */
  #deniedTopic(operation: Operation, records: readonly { readonly topic: string }[]): string | undefined {
    const { grants } = this.#options
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
    this.#deps.metrics.refused('forbidden')
    return new ForbiddenError(`${this.principal} may not do this: no rule allows ${operation} here (access.rules)`)
  }

  #audit(operation: Operation, allowed: boolean, what: Target & { readonly topics?: readonly string[] }): void {
    const { identity, address, requestId } = this.#options
    const { principal, method } = identity
    this.#deps.audit.write({ allowed, principal, method, address, operation, ...what, requestId })
  }
}
