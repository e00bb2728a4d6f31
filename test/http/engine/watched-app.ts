import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { sendAnswer } from '../../../src/http/exchange/answers.js'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'
import { keepTurn } from '../../../src/http/exchange/exchange.js'
import { type Started, startHttp, until, untilNothingIsHeld } from '../server/stage.js'

const POOL_BYTES = 1024 * 1024
const MAX_BODY_BYTES = 16 * 1024 * 1024

/** The header that proxies in front add to each request that they take for one. */
export const PROXIED = 'x-proxied'

/** An API under `/loud` that answers each request with its path, and keeps what it was given. */
export class WatchedApp {
  /** `METHOD /path "body"` of each request that was read whole, in order; the path is without `/loud`. */
  readonly handled: string[]
  /** Ports of the clients whose requests were handled. */
  readonly ports: Set<number>
  /** Paths of requests that no proxy has marked with {@link PROXIED}. */
  readonly unmarked: string[]
  /** Requests whose heads have come. */
  begun = 0
  readonly #started: Started

  private constructor(started: Started, seen: Pick<WatchedApp, 'handled' | 'ports' | 'unmarked'>) {
    this.#started = started
    this.handled = seen.handled
    this.ports = seen.ports
    this.unmarked = seen.unmarked
  }

  static async start(http: object = {}): Promise<WatchedApp> {
    const handled: string[] = []
    const unmarked: string[] = []
    const ports = new Set<number>()
    const pool = new BufferPool(POOL_BYTES)
    const watched = { app: undefined as WatchedApp | undefined }
    const plugin = async (app: FastifyInstance): Promise<void> => {
      const receive = byHand(({ request, response, payload, requestId }) => {
        watched.app!.begun++
        keepTurn({ request })
        if (request.headers[PROXIED] === undefined) unmarked.push(pathOf(request))
        const declaredBytes = Number(request.headers['content-length'] ?? 0)
        collectBody(payload, declaredBytes, MAX_BODY_BYTES, pool, body => {
          if (!Buffer.isBuffer(body)) return
          ports.add(request.socket.remotePort ?? 0)
          handled.push(`${request.method} ${pathOf(request)} ${JSON.stringify(body.toString('latin1'))}`)
          const text = `answer to ${pathOf(request)}`
          sendAnswer(response, 200, 'text/plain', text, { requestId, persisted: undefined })
        })
      })
      app.addHook('preParsing', receive)
      app.all('/*', neverCalled)
      app.setNotFoundHandler(neverCalled)
    }
    const started = await startHttp({ http: http, plugin })
    return (watched.app = new WatchedApp(started, { handled, ports, unmarked }))
  }

  get url(): string {
    return this.#started.http.urls.shared
  }

  /** Waits until a request has begun, and nothing is held for any client. */
  async untilOver(): Promise<void> {
    await until(() => this.begun > 0, 'a request')
    await untilNothingIsHeld(this.#started)
  }

  close(): Promise<void> {
    return this.#started.http.close()
  }
}

const pathOf = ({ url = '' }: IncomingMessage): string => url.replace(/^(?:https?:\/\/[^/]*)?\/loud/i, '')
