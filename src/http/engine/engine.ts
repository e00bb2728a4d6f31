import type { Server, Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { type ConnectionHost, EngineConnection } from './connection.js'
import type { Connected, EngineLimits } from './engine-user.js'
import { DateHeader } from './response-head.js'
import { SharedBuffer } from './shared-buffer.js'

/** Longest interval between two checks of the time limits. */
const CHECK_MS = 1_000

/** Interval between two checks, as a share of the shortest time limit. */
const CHECK_SHARE = 0.2

const buffer = new SharedBuffer()

/** Serves the connections of a server, plain or with TLS. Requests and answers look like those of `node:http`. */
export class HttpEngine implements ConnectionHost {
  readonly limits: EngineLimits
  readonly connected: Connected
  readonly date = new DateHeader(Date.now)
  readonly #isTls: boolean
  readonly #connections = new Set<EngineConnection>()
  #timer: NodeJS.Timeout | undefined

  constructor(server: Server, limits: EngineLimits, connected: Connected) {
    this.limits = limits
    this.connected = connected
    this.#isTls = server instanceof TlsServer
    server.on(this.#isTls ? 'secureConnection' : 'connection', (socket: Socket) => this.accept(socket))
  }

  now(): number {
    return performance.now()
  }

  /** Closes the connections that have been between two requests since the last call. */
  closeIdle(): void {
    for (const connection of this.#connections) connection.closeIdle()
  }

  cut(): void {
    for (const { socket } of this.#connections) socket.destroy()
  }

  closed(connection: EngineConnection): void {
    this.#connections.delete(connection)
    if (this.#connections.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  accept(accepted: Socket): void {
    if (accepted.destroyed) return
    let connection: EngineConnection
    const adopted = this.#isTls ? undefined : buffer.adopt(accepted, bytes => connection.take(bytes, false))
    connection = new EngineConnection(adopted ?? accepted, this)
    this.#connections.add(connection)
    this.#timer ??= this.#startChecking()
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
