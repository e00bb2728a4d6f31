import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Outcome } from '../support/history-checker.js'
import { type ConfluentMode, confluentModes, loadOfConfluent } from './confluent-load.js'
import { type LoadOptions, Messages, numberOf, PAUSE_MS } from './messages.js'
import { type Answer, type Asked, Poster } from './post.js'

/**
 * Arion's routes, the asynchronous ones of kprf and kafboy (with `payload: fields` and `partitionStrategy: custom`), and those of
 * Confluent's API.
 */
export type LoadMode = HttpMode | KeyedMode | 'websocket' | ConfluentMode

/** Sends messages until it is stopped; each is written down before it is sent, and so is its answer. */
export function load(mode: LoadMode, options: LoadOptions): Promise<void> {
  if (mode === 'websocket') return new SocketLoad(options).run()
  if (isOfConfluent(mode)) return loadOfConfluent(mode, options)
  if (mode === 'keyedSync') return new KeyedLoad('sync', options).run()
  if (mode === 'keyedAsync') return new KeyedLoad('async', options).run()
  return new HttpLoad(mode, options).run()
}

const isOfConfluent = (mode: LoadMode): mode is ConfluentMode => (confluentModes as readonly string[]).includes(mode)

/** Clients that send a request with an `Idempotency-Key` again until it has succeeded. */
type KeyedMode = 'keyedSync' | 'keyedAsync'

type HttpMode = 'sync' | 'async' | 'kprf' | 'kafboy'

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
  readonly #poster: Poster

  constructor(mode: HttpMode, options: LoadOptions) {
    this.#mode = mode
    this.#options = options
    this.#messages = new Messages(options)
    this.#poster = new Poster(options.url)
  }

  async run(): Promise<void> {
    const { isStopped, topic, keys, random, history, receipts } = this.#options
    while (!isStopped()) {
      const key = random.pick(keys)
      const { id, value } = this.#messages.next(key)
      const asked = asking[this.#mode](topic, key, value)
      const answer = await this.#poster.post(asked, socket => history.sentOver(id, numberOf(socket)))
      const outcome = toOutcome(answer)
      if (outcome.type === 'ok') receipts?.note(id, answer?.receipt)
      history.complete(id, outcome)
      if (outcome.type !== 'ok') await sleep(PAUSE_MS)
    }
    this.#poster.close()
  }
}

/** The mode of the clients each of whose messages must be in Kafka exactly once. */
export const isKeyed = (id: string): boolean => id.startsWith('keyed')

class KeyedLoad {
  readonly #mode: HttpMode
  readonly #options: LoadOptions
  readonly #messages: Messages
  #poster: Poster

  constructor(mode: HttpMode, options: LoadOptions) {
    this.#mode = mode
    this.#options = options
    this.#messages = new Messages(options)
    this.#poster = new Poster(options.url)
  }

  async run(): Promise<void> {
    const { isStopped, topic, keys, random, history } = this.#options
    while (!isStopped()) {
      const key = random.pick(keys)
      const { id, value } = this.#messages.next(key)
      const asked = { ...asking[this.#mode](topic, key, value), idempotencyKey: `${topic}-${id}` }
      history.complete(id, await this.#untilDone(id, asked))
    }
    this.#poster.close()
  }

  async #untilDone(id: string, asked: Asked): Promise<Outcome> {
    const { history, url, receipts } = this.#options
    let isRepeated = false
    for (;;) {
      // A message that is sent again is not in the order of one connection, and another worker may carry out the one behind it.
      const isAlone = isRepeated || this.#mode === 'async'
      const sent = (socket: object): void => history.sentOver(id, numberOf(isAlone ? {} : socket))
      const answer = await this.#poster.post(asked, sent)
      if (answer?.status === 422) throw new Error(`${id} was taken for another request: ${answer.body}`)
      const outcome = toOutcome(answer)
      if (outcome.type === 'ok') {
        receipts?.note(id, answer?.receipt)
        return outcome
      }
      await sleep(PAUSE_MS)
      // Another worker may take the next connection.
      this.#poster.close()
      this.#poster = new Poster(url)
      isRepeated = true
    }
  }
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
  // The process was killed before it had written where the record is.
  return offset < 0 ? { type: 'ok' } : { type: 'ok', partition, offset }
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
