import type { Violation } from '../violation.js'
import type { Host } from '../world/host.js'

/** What workloads have in common: a name, the host they are on, and what they have seen that must not be. */
export abstract class Client<
  Options extends { readonly name: string },
  Deps extends { readonly host: Host } | { readonly service: { readonly host: Host } }
> {
  readonly name: string
  readonly host: Host
  protected readonly violations: Violation[] = []
  protected isStopped = false

  constructor(
    protected readonly options: Options,
    protected readonly deps: Deps
  ) {
    this.name = options.name
    this.host = 'service' in deps ? deps.service.host : deps.host
  }

  stop(): void {
    this.isStopped = true
  }

  check(): readonly Violation[] {
    return this.violations
  }

  protected violated(rule: string, what: string): void {
    this.violations.push({ rule, what: `${this.name} ${what}` })
  }
}
