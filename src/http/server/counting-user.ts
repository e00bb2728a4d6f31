import type { RequestListener } from 'node:http'
import type { Broken, EngineUser, Leaving, UsedConnection, WaitsFor } from '../engine/engine-user.js'
import type { Head } from '../engine/head.js'
import type { EngineResponse } from '../engine/response.js'
import type { SilenceLimit } from '../exchange/silence-limit.js'
import type { BrowserGuard } from './browser-guard.js'
import type { Connections } from './connections.js'
import { CountedRequest } from './counted-request.js'
import type { EngineReport } from './engine-report.js'

/** Counts the connections and requests of an engine, and passes the requests on. */
export class CountingUser implements EngineUser {
  readonly #connections: Connections
  readonly #guard: BrowserGuard
  readonly #handler: RequestListener
  readonly #silence: SilenceLimit | undefined
  readonly #report: EngineReport

  constructor(
    connections: Connections,
    guard: BrowserGuard,
    handler: RequestListener,
    silence: SilenceLimit | undefined,
    report: EngineReport
  ) {
    this.#connections = connections
    this.#guard = guard
    this.#handler = handler
    this.#silence = silence
    this.#report = report
  }

  connected(connection: UsedConnection, isShared: boolean): void {
    if (!isShared) this.#report.notShared()
    const counted = this.#connections.of(connection.socket)
    counted.reader = connection
    counted.silence = this.#silence
  }

  toRequest(connection: UsedConnection, head: Head): CountedRequest {
    const counted = this.#connections.of(connection.socket)
    // The previous request may have belonged to an API with a limit of its own.
    counted.silence = this.#silence
    return new CountedRequest(connection, head, counted, this.#guard)
  }

  handle(request: CountedRequest, response: EngineResponse): void {
    request.begin(response)
    this.#handler(request, response.asServerResponse)
  }

  keeps({ socket }: UsedConnection, sizeBytes: number, waitsFor: WaitsFor): boolean {
    return this.#connections.of(socket).keep(sizeBytes, waitsFor)
  }

  broken(connection: UsedConnection, how: Broken): void {
    this.#connections.of(connection.socket).endWith(how)
  }

  leaves({ socket }: UsedConnection, leaving: Leaving): void {
    const counted = this.#connections.of(socket)
    counted.leaveToNode(leaving)
    this.#report.left(leaving.reason, counted.address.key)
  }
}
