import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { type ConnectionHost, EngineConnection } from './connection.js'
import type { EngineLimits, EngineUser, Leaving } from './engine-user.js'
import { DateHeader } from './response-head.js'
import { SharedBuffer } from './shared-buffer.js'

/** Longest interval between two checks of the time limits. */
const CHECK_MS = 1_000

/** Interval between two checks, as a share of the shortest time limit. */
const CHECK_SHARE = 0.2

const buffer = new SharedBuffer()

/**
 * An HTTP/1.1 server in front of a `node:http` server: it reads plain requests itself, and leaves all other connections to
 * that server. Requests and answers look like those of `node:http`.
 */
export class HttpEngine implements ConnectionHost {
  readonly limits: EngineLimits
  readonly user: EngineUser
  readonly date = new DateHeader(Date.now)
  readonly #server: Server
  /** The listeners by which Node takes connections. */
  readonly #node: ReturnType<Server['listeners']>
  readonly #connections = new Set<EngineConnection>()
  #timer: NodeJS.Timeout | undefined

  /** @param server serves unusual requests; nothing but Node listens to its event `connection` yet */
  constructor(server: Server, limits: EngineLimits, user: EngineUser) {
    this.#server = server
    this.limits = limits
    this.user = user
    this.#node = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (accepted: Socket) => this.#accept(accepted))
  }

  now(): number {
    return performance.now()
  }

  /** Closes the connections that are between two requests. */
  closeIdle(): void {
    for (const connection of this.#connections) if (connection.isIdle) connection.socket.destroy()
  }

  /** Cuts every connection, whatever its state. */
  cut(): void {
    for (const { socket } of this.#connections) socket.destroy()
  }

  passOn(connection: EngineConnection, leaving: Leaving): void {
    this.closed(connection)
    this.user.leaves(connection, leaving)
    for (const listener of this.#node) listener.call(this.#server, connection.socket)
  }

  closed(connection: EngineConnection): void {
    this.#connections.delete(connection)
    if (this.#connections.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #accept(accepted: Socket): void {
    let connection: EngineConnection
    const adopted = buffer.adopt(accepted, bytes => connection.take(bytes, false))
    connection = new EngineConnection(adopted ?? accepted, this)
    this.#connections.add(connection)
    this.#timer ??= this.#startChecking()
    this.user.connected(connection, adopted !== undefined)
    if (adopted === undefined) accepted.on('data', bytes => connection.take(bytes, true))
  }

  #startChecking(): NodeJS.Timeout {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, socketTimeoutMs } = this.limits
    const shortestMs = Math.min(headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, socketTimeoutMs)
    return setInterval(() => this.#check(), Math.max(1, Math.min(CHECK_MS, shortestMs * CHECK_SHARE))).unref()
  }

  #check(): void {
    const now = this.now()
    for (const connection of this.#connections) connection.check(now)
  }
}
