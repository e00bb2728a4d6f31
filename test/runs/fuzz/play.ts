import { type Address, Client } from './client.js'
import { clock } from './clock.js'
import { type DifferenceKind, differenceOf, type Handled, type Seen } from './comparison.js'
import { piecesOf, type Script } from './script.js'
import type { Ticks } from './ticks.js'

/** A server under comparison. */
export interface Side {
  readonly name: string
  readonly address: Address
  /** What the handlers of a connection were given, by the port of its client. */
  handled(port: number): readonly Handled[]
  /** Nothing more is asked about the connection. */
  forget(port: number): void
}

/** How long nothing must happen before servers are quiet. */
export interface Patience {
  /** Enough when both sides are alike. */
  readonly ticks: number
  /** Before two sides that differ are taken to differ for good. */
  readonly differentTicks: number
  readonly differentMs: number
}

export interface Difference {
  readonly kind: DifferenceKind
  readonly sides: readonly [Seen, Seen]
}

export interface Played {
  readonly difference: Difference | undefined
  /** What the first of the sides did. */
  readonly seen: Seen
}

/** A server reads no more at once: it may end the connection before the rest of a longer piece has come. */
const READ_BYTES = 64 * 1024

const PROBE = Buffer.from('GET /echo/parsed/probe HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: probe\r\n\r\n')

/**
 * Plays one script to two servers, piece by piece, and compares them whenever both are quiet. Each may also get a script of
 * its own: then they are compared at the end.
 */
export class Play {
  readonly #scripts: readonly [Script, Script]
  readonly #sides: readonly [Side, Side]
  readonly #ticks: Ticks
  readonly #patience: Patience
  #clients!: readonly [Client, Client]
  #sends = 0

  constructor(scripts: readonly [Script, Script], sides: readonly [Side, Side], ticks: Ticks, patience: Patience) {
    this.#scripts = scripts
    this.#sides = sides
    this.#ticks = ticks
    this.#patience = patience
  }

  async run(): Promise<Played> {
    const [one, other] = this.#sides
    const tick = (): number => this.#ticks.current
    this.#clients = await Promise.all([Client.open(one.address, tick), Client.open(other.address, tick)])
    this.#forget()
    try {
      const difference = (await this.#send()) ?? (await this.#end())
      return { difference, seen: this.#seen(0) }
    } finally {
      for (const client of this.#clients) client.reset()
      this.#forget()
    }
  }

  async #send(): Promise<Difference | undefined> {
    const [script, other] = this.#scripts
    if (script !== other) {
      await Promise.all(this.#clients.map((client, i) => this.#sendTo(client, this.#scripts[i as 0 | 1])))
      return undefined
    }
    for (const { bytes, pause } of piecesOf(script)) {
      for (const client of this.#clients) if (client.fate === 'open') client.send(bytes)
      this.#sends += Math.ceil(bytes.length / READ_BYTES)
      const difference = pause === 'quiet' ? await this.#quiet() : await this.#ticks.pass(pause)
      if (difference !== undefined) return difference
    }
    return undefined
  }

  /** Without comparing. */
  async #sendTo(client: Client, script: Script): Promise<void> {
    const { ticks } = this.#patience
    this.#sends = Math.max(this.#sends, script.cuts.length + Math.ceil(script.bytes.length / READ_BYTES))
    for (const { bytes, pause } of piecesOf(script)) {
      if (client.fate === 'open') client.send(bytes)
      if (pause !== 'quiet') await this.#ticks.pass(pause)
      else
        for (let left = ticks; left > 0; left = ticks - (this.#ticks.current - client.lastActivity))
          await this.#ticks.pass(left)
    }
  }

  async #end(): Promise<Difference | undefined> {
    const { ending } = this.#scripts[0]
    for (const client of this.#clients) {
      if (client.fate !== 'open') continue
      if (ending === 'probe') client.send(PROBE)
      else if (ending === 'half') client.end()
      else if (ending === 'leave') client.leave()
      else client.reset()
    }
    return this.#quiet()
  }

  /** @returns the difference, when there is one that does not go away */
  async #quiet(): Promise<Difference | undefined> {
    const { ticks, differentTicks, differentMs } = this.#patience
    let differentSince: number | undefined
    for (;;) {
      const quietTicks = this.#ticks.current - Math.max(...this.#clients.map(({ lastActivity }) => lastActivity))
      if (quietTicks < ticks) {
        await this.#ticks.pass(ticks - quietTicks)
        continue
      }
      const difference = this.#difference()
      if (difference === undefined) return undefined
      differentSince ??= clock()
      if (quietTicks >= differentTicks && clock() - differentSince >= differentMs) return difference
      await this.#ticks.pass(ticks)
    }
  }

  #difference(): Difference | undefined {
    const sides = [this.#seen(0), this.#seen(1)] as const
    const kind = differenceOf(...sides, this.#sends > 1)
    return kind && { kind, sides }
  }

  #seen(index: 0 | 1): Seen {
    const { received, fate, port } = this.#clients[index]
    const handled = this.#sides[index].handled(port).map(each => ({ ...each }))
    return { answers: received, fate, handled }
  }

  #forget(): void {
    this.#sides.forEach((side, i) => side.forget(this.#clients[i as 0 | 1].port))
  }
}
