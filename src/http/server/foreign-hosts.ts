import type { Logger } from '../../core/model.js'
import { printable } from '../../core/printable.js'

/** Clients invent names: further ones are refused without a line. */
const MAX_NAMED = 20
const MAX_CHARACTERS = 255

/** Says of each host for which requests are refused once that they are, and what allows it. */
export class ForeignHosts {
  readonly #log: Logger
  readonly #named = new Set<string>()

  constructor(log: Logger) {
    this.#log = log
  }

  refused(host: string): void {
    const name = printable(host.slice(0, MAX_CHARACTERS))
    if (this.#named.has(name) || this.#named.size >= MAX_NAMED) return
    this.#named.add(name)
    this.#log.warn({ host: name }, 'requests for this host are refused with 403; http.allowedHosts can allow it')
  }
}
