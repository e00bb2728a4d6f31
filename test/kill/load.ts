import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { History, Outcome } from '../support/history-checker.js'
import type { SeededRandom } from '../support/random.js'

/** Longer than any answer may take: who waits longer was forgotten. */
const ANSWER_TIMEOUT_MS = 60_000
/** After a lost connection or a refusal. */
const PAUSE_MS = 50

/** Connections, counted over all clients. */
let connections = 0
const numbers = new WeakMap<object, number>()

function numberOf(connection: object): number {
  const number = numbers.get(connection) ?? ++connections
  numbers.set(connection, number)
  return number
}

/** Arion's routes, and the asynchronous ones of the others; kafboy's with `payload: fields` and `partitionStrategy: custom`. */
export type LoadMode = 'sync' | 'async' | 'websocket' | 'kprf' | 'kafboy'

export interface LoadOptions {
  /** The beginning of all its ids. */
  readonly name: string
  /** Of the gateway: `http://127.0.0.1:8080`. */
  readonly url: string
  readonly topic: string
  /** Its own, shared with no other client: it sends one message after another, so their order is known. */
  readonly keys: readonly string[]
  readonly maxValueBytes: number
  readonly random: SeededRandom
  readonly history: History
  readonly isStopped: () => boolean
}

/** Sends messages until it is stopped; each is written down before it is sent, and so is its answer. */
export function load(mode: LoadMode, options: LoadOptions): Promise<void> {
  if (mode === 'websocket') return new SocketLoad(options).run()
  return new HttpLoad(mode, options).run()
}

/** Makes messages whose value begins with their id, and notes them. */
class Messages {
  readonly #options: LoadOptions
  #count = 0

  constructor(options: LoadOptions) {
    this.#options = options
  }

  next(key: string): { readonly id: string; readonly value: string } {
    const { name, random, maxValueBytes, topic, history } = this.#options
    const id = `${name}-${this.#count++}`
    const value = `${id} ${'x'.repeat(random.between(0, maxValueBytes))}`
    history.invoke({ id, topic, key, value })
    return { id, value }
  }
}

/** The id at the beginning of a value. */
export const idOf = ({ value }: { readonly value: string }): string | undefined => /^[\w-]+-\d+(?= )/.exec(value)?.[0]

type HttpMode = Exclude<LoadMode, 'websocket'>

interface Asked {
  readonly path: string
  readonly body: string
  readonly type: string
}

/** What a client of each API sends. */
const asking: Readonly<Record<HttpMode, (topic: string, key: string, value: string) => Asked>> = {
  sync: (topic, key, value) => ({ ...ofArion('sync', topic, key), body: value }),
  async: (topic, key, value) => ({ ...ofArion('async', topic, key), body: value }),
  kprf: (topic, key, value) => ({
    path: '/kprf/push',
    body: JSON.stringify({ records: [{ topic, key, data: value }] }),
    type: 'application/json'
  }),
  kafboy: (topic, key, value) => ({
    path: `/kafboy/async/${topic}`,
    body: new URLSearchParams([[key, value]]).toString(),
    type: 'application/x-www-form-urlencoded'
  })
}

const ofArion = (mode: string, topic: string, key: string) => ({
  path: `/arion/${mode}/${topic}/${encodeURIComponent(key)}`,
  type: 'text/plain'
})

class HttpLoad {
  readonly #mode: HttpMode
  readonly #options: LoadOptions
  readonly #messages: Messages
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(mode: HttpMode, options: LoadOptions) {
    this.#mode = mode
    this.#options = options
    this.#messages = new Messages(options)
  }

  async run(): Promise<void> {
    const { isStopped, keys, random, history } = this.#options
    while (!isStopped()) {
      const key = random.pick(keys)
      const { id, value } = this.#messages.next(key)
      const outcome = toOutcome(await this.#post(key, value, socket => history.sentOver(id, numberOf(socket))))
      history.complete(id, outcome)
      if (outcome.type !== 'ok') await sleep(PAUSE_MS)
    }
    this.#agent.destroy()
  }

  #post(key: string, value: string, onSocket: (socket: Socket) => void): Promise<Answer | undefined> {
    const { url, topic } = this.#options
    const { path, body, type } = asking[this.#mode](topic, key, value)
    return new Promise(resolve => {
      const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) }
      const call = request(url + path, { method: 'POST', agent: this.#agent, headers }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', () => resolve(undefined))
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            persisted: String(response.headers['x-castellan-persisted'] ?? ''),
            body: Buffer.concat(chunks).toString()
          })
        )
      })
      call.on('socket', onSocket)
      call.setTimeout(ANSWER_TIMEOUT_MS, () => call.destroy(new Error('no answer')))
      call.on('error', () => resolve(undefined))
      call.end(body)
    })
  }
}

interface Answer {
  readonly status: number
  readonly persisted: string
  readonly body: string
}

function toOutcome(answer: Answer | undefined): Outcome {
  if (answer === undefined) return { type: 'unknown', answered: false }
  const { status, persisted, body } = answer
  if (status === 202 || (status === 200 && persisted === 'pending')) return { type: 'ok' }
  if (status === 201) return toPlace(body)
  return persisted === 'no' ? { type: 'fail' } : { type: 'unknown', answered: true }
}

function toPlace(text: string): Outcome {
  const { partition, offset } = JSON.parse(text) as { partition: number; offset: number }
  return { type: 'ok', partition, offset }
}

/** Messages of one websocket that wait for their replies. */
const MAX_IN_FLIGHT = 100

/** A websocket that sends on while its replies are under way; it has one key. */
class SocketLoad {
  readonly #options: LoadOptions
  readonly #messages: Messages

  constructor(options: LoadOptions) {
    this.#options = options
    this.#messages = new Messages(options)
  }

  async run(): Promise<void> {
    while (!this.#options.isStopped()) {
      await this.#connection()
      await sleep(PAUSE_MS)
    }
  }

  /** One connection, until it ends. */
  #connection(): Promise<void> {
    const { url, topic, keys, history, isStopped } = this.#options
    const key = keys[0]!
    const socket = new WebSocket(`${url.replace('http', 'ws')}/arion/websocket/${topic}/${encodeURIComponent(key)}`)
    const waiting: string[] = []
    const fill = (): void => {
      while (waiting.length < MAX_IN_FLIGHT && !isStopped() && socket.readyState === WebSocket.OPEN) {
        const { id, value } = this.#messages.next(key)
        waiting.push(id)
        history.sentOver(id, numberOf(socket))
        socket.send(value)
      }
      if (waiting.length === 0 && isStopped()) socket.close()
    }
    return new Promise(resolve => {
      socket.on('open', fill)
      socket.on('message', (reply: Buffer) => {
        const id = waiting.shift()
        if (id === undefined) throw new Error(`nobody asked for the reply ${reply.toString()}`)
        history.complete(id, toPlace(reply.toString()))
        fill()
      })
      socket.on('error', () => undefined)
      socket.on('close', () => {
        for (const id of waiting) history.complete(id, { type: 'unknown', answered: false })
        resolve()
      })
    })
  }
}
