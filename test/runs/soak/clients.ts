import { setTimeout as sleep } from 'node:timers/promises'
import { RawSocket } from '../../support/raw-socket.js'
import { HttpClient } from '../http-client.js'
import type { MeasuredGateway } from './measured-gateway.js'
import { type Asked, CLUSTER, FULL, type Kind, topics } from './request-kinds.js'

const AT_ONCE = 8
const RECORD = { value: 'x'.repeat(200_000) }
/** Six records of the topic that is full. */
const FILLING: Asked = {
  method: 'POST',
  path: `/strimzi/topics/${FULL}`,
  headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
  body: JSON.stringify({ records: [RECORD, RECORD, RECORD, RECORD, RECORD, RECORD] })
}

/** How a request ends: it has its answer, its client leaves before or while it gets it, or it is refused. */
export type Way = 'answered' | 'cut' | 'refused'
export const ways: readonly Way[] = ['answered', 'cut', 'refused']

const bytesOf = ({ method, path, headers, body }: Asked): Buffer => {
  const all = { host: 'localhost', ...headers, 'content-length': Buffer.byteLength(body) }
  const lines = Object.entries(all).map(([name, text]) => `${name}: ${text}\r\n`)
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), Buffer.from(body)])
}

/** Clients of a gateway that send requests of all kinds, some at once. */
export class Clients {
  readonly #gateway: MeasuredGateway
  readonly #client: HttpClient
  #clusterId = ''
  #last = 0

  private constructor(gateway: MeasuredGateway) {
    this.#gateway = gateway
    this.#client = new HttpClient(gateway.url, { maxSockets: AT_ONCE })
  }

  /** Creates the topics that the requests need, with records. */
  static async of(gateway: MeasuredGateway): Promise<Clients> {
    for (const topic of topics) gateway.cluster.createTopic(topic, { partitions: 1, replicationFactor: 1 })
    const clients = new Clients(gateway)
    await clients.answered(FILLING)
    const found = await clients.answered({ method: 'GET', path: '/confluent/v3/clusters', headers: {}, body: '' })
    clients.#clusterId = JSON.parse(found).data[0].cluster_id
    return clients
  }

  close(): void {
    this.#client.close()
  }

  /** @throws Error if the answer does not begin so @returns the body */
  async answered({ method, path, headers, body }: Asked, status = /^2/, host = 'localhost'): Promise<string> {
    const answer = await this.#client.ask(method, path, { body, headers: { ...headers, host } })
    if (status.test(String(answer?.status))) return answer!.body
    throw new Error(`${method} ${path}: ${answer?.status} ${answer?.body.slice(0, 300)}`)
  }

  /** Sends a request of a kind, with all that belongs to it. */
  async send(kind: Kind, way: Way, ask?: (asked: Asked) => Promise<unknown>): Promise<void> {
    const nth = ++this.#last
    for (const asked of kind.before?.(nth) ?? []) await this.answered(asked)
    const { path, ...rest } = kind.ask(nth)
    const asked = { ...rest, path: path.replace(CLUSTER, this.#clusterId) }
    if (way === 'answered') await (ask?.(asked) ?? this.answered(asked, kind.status))
    else if (way === 'refused') await this.answered(asked, /^403/, 'elsewhere.example')
    else await this.#cut(asked, nth)
    for (const asked of kind.after?.(nth) ?? []) await this.answered(asked)
  }

  /** Sends a part of a request, or all of it, and leaves. */
  async #cut(asked: Asked, nth: number): Promise<void> {
    const bytes = bytesOf(asked)
    const socket = await RawSocket.open(this.#gateway.url)
    await socket.send(bytes.subarray(0, Math.ceil((bytes.length * (1 + (nth % 4))) / 4)))
    if (nth % 8 > 3) await sleep(nth % 5)
    if (nth % 2 === 0) socket.reset()
    else socket.destroy()
  }

  /** Does it so many times, some at once. */
  async repeat(times: number, act: () => Promise<unknown>): Promise<void> {
    let left = times
    const one = async (): Promise<void> => {
      while (left-- > 0) await act()
    }
    await Promise.all(Array.from({ length: AT_ONCE }, one))
  }
}
