import http, { type ServerOptions } from 'node:http'
import { createRequire } from 'node:module'
import { closeInOrder } from './connection-order.js'
import type { Network } from './network.js'

/** Where nact keeps every system of actors that was not stopped. */
const systems = createRequire(import.meta.url)('nact/lib/system-map.js') as SystemMap
interface SystemMap {
  add(system: { readonly name: string }): void
  remove(name: string): void
}

const realCreateServer = http.createServer
const realAdd = systems.add
const NEVER_MS = 2 ** 31 - 1
/** The description of the symbol under which Node's HTTP server keeps its timer. */
const CHECKING_TIMER = 'http.server.connectionsCheckingInterval'

/**
 * What processes of a world leave in this one when they are killed, since nobody stops and closes there what they had.
 * Each of the three would hold a whole world for as long as this process runs.
 */
export class KilledProcesses {
  readonly #servers: http.Server[] = []
  readonly #systemNames: string[] = []

  constructor() {
    systems.add = system => {
      this.#systemNames.push(system.name)
      realAdd(system)
    }
  }

  /**
   * Takes the place of Node's: its server looks for late heads and bodies by the real clock, where nothing is late, and tells the
   * real date.
   */
  readonly createServer = (options: ServerOptions, ...rest: []): http.Server => {
    const server = realCreateServer({ ...options, connectionsCheckingInterval: NEVER_MS }, ...rest)
    server.prependListener('request', (_, answer) => answer.setHeader('Date', new Date(Date.now()).toUTCString()))
    closeInOrder(server)
    this.#servers.push(server)
    return server
  }

  /** Call it when the world has ended and the real timers are back. */
  clear({ wires }: Network): void {
    systems.add = realAdd
    for (const name of this.#systemNames) systems.remove(name)
    for (const server of this.#servers) clearInterval(checkingTimerOf(server))
    for (const { server } of wires) (server as { parser?: { close(): void } | null }).parser?.close()
  }
}

function checkingTimerOf(server: http.Server): NodeJS.Timeout | undefined {
  const name = Object.getOwnPropertySymbols(server).find(({ description }) => description === CHECKING_TIMER)
  return name && (server as unknown as Record<symbol, NodeJS.Timeout>)[name]
}
