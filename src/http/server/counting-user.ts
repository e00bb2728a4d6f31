import type { RequestListener } from 'node:http'
import type { Broken, EngineUser, UsedConnection, WaitsFor } from '../engine/engine-user.js'
import type { Head } from '../engine/head.js'
import type { EngineResponse } from '../engine/response.js'
import { offerUpgrade } from '../exchange/other-protocols.js'
import type { SilenceLimit } from '../exchange/silence-limit.js'
import type { BrowserGuard } from './browser-guard.js'
import type { Connections } from './connections.js'
import { CountedRequest } from './counted-request.js'
import { SocketUpgrade } from './socket-upgrade.js'

/** Counts the connections and requests of an engine, and passes the requests on whose heads are good. */
export class CountingUser implements EngineUser {
  readonly #connections: Connections
  readonly #guard: BrowserGuard
  readonly #handler: RequestListener
  readonly #silence: SilenceLimit | undefined

  constructor(
    connections: Connections,
    guard: BrowserGuard,
    handler: RequestListener,
    silence: SilenceLimit | undefined
  ) {
    this.#connections = connections
    this.#guard = guard
    this.#handler = handler
    this.#silence = silence
  }

  connected(connection: UsedConnection): void {
    this.#connections.of(connection).silence = this.#silence
  }

  toRequest(connection: UsedConnection, head: Head): CountedRequest {
    const counted = this.#connections.of(connection)
    // The previous request may have belonged to an API with a limit of its own.
    counted.silence = this.#silence
    return new CountedRequest(connection, head, counted, this.#guard)
  }

  handle(connection: UsedConnection, request: CountedRequest, response: EngineResponse, head: Head): void {
    request.begin(response)
    if (head.refusal !== undefined) {
      const allow = head.refusal === 405 && { allow: 'GET, POST' }
      response.writeHead(head.refusal, { ...allow, connection: 'close', 'content-length': 0 }).end()
      return
    }
    if (head.isWaiting) request.waitForContinue(response)
    if (request.upgrade) offerUpgrade(request, new SocketUpgrade(connection, request, this.#connections))
    this.#handler(request, response.asServerResponse)
  }

  keeps(connection: UsedConnection, sizeBytes: number, waitsFor: WaitsFor): boolean {
    return this.#connections.of(connection).keep(sizeBytes, waitsFor)
  }

  broken(connection: UsedConnection, how: Broken): void {
    this.#connections.of(connection).endWith(how)
  }
}
