import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { expect } from 'chai'
import type { Children, Gateway } from './child.js'

/** Gateways of several processes, and their clients. */
const PATIENT = ['--set', 'apis.kprf.messageTimeoutMs=20000']
export const TWO = [
  '--workers',
  '2',
  '--embedded-port',
  '0',
  '--set',
  'advanced.workers.restartPauseMs=100',
  ...PATIENT
]

/** Far longer than any answer takes, on a busy machine as well. */
const ANSWER_LIMIT_MS = 30_000

export interface Answer {
  readonly status: number
  /** Which process has answered: the beginning of its request ids. */
  readonly worker: string
  readonly text: string
}

/** A client with one connection of its own, which it opens again when it is lost. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  /** Rejects when the connection is lost. */
  post(path: string, body: object): Promise<Answer> {
    return this.#ask('POST', path, JSON.stringify(body))
  }

  get(path: string): Promise<Answer> {
    return this.#ask('GET', path)
  }

  #ask(method: string, path: string, body?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const call = request(this.#url + path, { method, agent: this.#agent, headers }, response => {
        let text = ''
        response.on('data', chunk => (text += chunk))
        response.on('error', reject)
        response.on('end', () => {
          const [worker] = String(response.headers['x-request-id']).split('-')
          resolve({ status: response.statusCode!, worker: worker!, text })
        })
      })
      call.on('error', reject)
      // Nothing here may wait for ever.
      call.setTimeout(ANSWER_LIMIT_MS, () => call.destroy(new Error('no answer')))
      call.end(body)
    })
  }

  push(value: string, isSync = true): Promise<Answer> {
    return this.post('/kprf/push', {
      records: [{ topic: 'orders', key: 'k', data: value }],
      wait_for_send: isSync
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

export const clientsOf = (url: string, count: number): Client[] => Array.from({ length: count }, () => new Client(url))

export const pidsOf = (gateway: Gateway): Promise<number[]> =>
  gateway.child
    .line(/"workers":(\[.*?\])/)
    .then(([, list]) => (JSON.parse(list!) as { pid: number }[]).map(({ pid }) => pid))

export const brokersOf = async (gateway: Gateway): Promise<string> =>
  (await gateway.child.line(/embedded broker on (127\.0\.0\.1:\d+)/))[1]!

export const metricsOf = async (gateway: Gateway): Promise<string> =>
  (await fetch(`${gateway.management}/metrics`)).text()

export const sampleOf = (text: string, series: string): number =>
  Number(
    text
      .split('\n')
      .find(line => line.startsWith(`${series} `))
      ?.slice(series.length + 1)
  )

/** A connection that asks one thing, and what comes of it until it is closed. */
export function endOf(port: number): { ended: Promise<void>; said: () => string } {
  let said = ''
  const socket = connect(port, '127.0.0.1', () => {
    socket.write('GET /arion/health-check HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  })
  socket.on('data', data => (said += data.toString())).on('error', () => undefined)
  return { ended: new Promise(resolve => socket.on('close', () => resolve())), said: () => said }
}

export const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The values of the topic `orders`, as the command reads them. */
export async function readOrders(children: Children, gateway: Gateway): Promise<string[]> {
  const reader = children.start(['read', 'orders', '--brokers', await brokersOf(gateway)])
  expect(await reader.exit(), reader.stderr).to.equal(0)
  return reader.lines
}
