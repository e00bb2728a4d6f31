import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { DeliveryHistory } from '../../../webhooks/delivery-history.js'

const SLOWEST_MS = 10

/** One 2xx. */
interface Delivery {
  /** Number of the gateway. */
  readonly gateway: number
  /** When the request came, by `performance.now()`. */
  readonly at: number
}

/** The endpoint of all gateways, over HTTP. Now and then it fails, cuts an answer, or is away. */
export class RunEndpoint {
  readonly history = new DeliveryHistory()
  /** The 2xx of each record, by its id. */
  readonly deliveries = new Map<string, Delivery[]>()
  /** When it was away, by `performance.now()`. */
  readonly absences: { readonly from: number; readonly to: number }[] = []
  readonly #isPoison: (value: string) => boolean
  #port = 0
  #server: Server | undefined

  /** @param isPoison a record with such a value is answered 422 */
  constructor(isPoison: (value: string) => boolean) {
    this.#isPoison = isPoison
  }

  /** The url for a gateway, by which it is known. */
  urlFor(gateway: number): string {
    return `http://127.0.0.1:${this.#port}/${gateway}`
  }

  async open(): Promise<void> {
    const server = createServer((request, response) => void this.#receive(request, response).catch(() => undefined))
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async beAway(ms: number): Promise<void> {
    const from = performance.now()
    this.close()
    await sleep(ms)
    await this.open()
    this.absences.push({ from, to: performance.now() })
  }

  close(): void {
    this.#server?.close()
    this.#server?.closeAllConnections()
    this.#server = undefined
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = performance.now()
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const sent = { id: String(request.headers['webhook-id']), body: Buffer.concat(chunks) }
    this.history.began(sent)
    await sleep(Math.random() * SLOWEST_MS)
    const status = this.#answerTo(sent.body.toString())
    // The endpoint has done its work, whether a gateway hears of it or not.
    this.history.ended(sent, status)
    if (status === 204) this.#note(sent.id, { gateway: Number(request.url!.slice(1)), at })
    if (status === 0) response.destroy()
    else response.writeHead(status, status === 429 ? { 'retry-after': '1' } : {}).end()
  }

  /** 0: none. */
  #answerTo(value: string): number {
    if (this.#isPoison(value)) return 422
    const dice = Math.random()
    if (dice < 0.005) return 500
    if (dice < 0.0052) return 429
    return dice < 0.007 ? 0 : 204
  }

  #note(id: string, delivery: Delivery): void {
    const all = this.deliveries.get(id)
    if (all === undefined) this.deliveries.set(id, [delivery])
    else all.push(delivery)
  }
}
