import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Outcome } from '../../support/history-checker.js'
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
  if (mode === 'websocket') return loadOverWebsockets(options)
  if (isOfConfluent(mode)) return loadOfConfluent(mode, options)
  if (mode === 'keyedSync') return loadWithKeys('sync', options)
  if (mode === 'keyedAsync') return loadWithKeys('async', options)
  return loadOverHttp(mode, options)
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

async function loadOverHttp(mode: HttpMode, options: LoadOptions): Promise<void> {
  const { isStopped, topic, keys, random, history, receipts, url } = options
  const messages = new Messages(options)
  const poster = new Poster(url)
  while (!isStopped()) {
    const key = random.pick(keys)
    const { id, value } = messages.next(key)
    const answer = await poster.post(asking[mode](topic, key, value), socket => history.sentOver(id, numberOf(socket)))
    const outcome = toOutcome(answer)
    if (outcome.type === 'ok') receipts?.note(id, answer?.receipt)
    history.complete(id, outcome)
    if (outcome.type !== 'ok') await sleep(PAUSE_MS)
  }
  poster.close()
}

/** The mode of the clients each of whose messages must be in Kafka exactly once. */
export const isKeyed = (id: string): boolean => id.startsWith('keyed')

/** Repeats each request with its key until it has succeeded. */
async function loadWithKeys(mode: HttpMode, options: LoadOptions): Promise<void> {
  const { isStopped, topic, keys, random, history, receipts, url } = options
  const messages = new Messages(options)
  let poster = new Poster(url)
  const untilDone = async (id: string, asked: Asked): Promise<Outcome> => {
    for (let isRepeated = false; ; isRepeated = true) {
      // A message that is sent again is not in the order of one connection.
      const isAlone = isRepeated || mode === 'async'
      const answer = await poster.post(asked, socket => history.sentOver(id, numberOf(isAlone ? {} : socket)))
      if (answer?.status === 422) throw new Error(`${id} was taken for another request: ${answer.body}`)
      const outcome = toOutcome(answer)
      if (outcome.type === 'ok') {
        receipts?.note(id, answer?.receipt)
        return outcome
      }
      await sleep(PAUSE_MS)
      poster.close()
      poster = new Poster(url)
    }
  }
  while (!isStopped()) {
    const key = random.pick(keys)
    const { id, value } = messages.next(key)
    const asked = { ...asking[mode](topic, key, value), idempotencyKey: `${topic}-${id}` }
    history.complete(id, await untilDone(id, asked))
  }
  poster.close()
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

/** Websockets that send on while their replies are under way, one after another; all have one key. */
async function loadOverWebsockets(options: LoadOptions): Promise<void> {
  const messages = new Messages(options)
  while (!options.isStopped()) {
    await useWebsocket(options, messages)
    await sleep(PAUSE_MS)
  }
}

/** One connection, until it ends. */
function useWebsocket({ url, topic, keys, history, isStopped }: LoadOptions, messages: Messages): Promise<void> {
  const key = keys[0]!
  const socket = new WebSocket(`${url.replace('http', 'ws')}/arion/websocket/${topic}/${encodeURIComponent(key)}`)
  const waiting: string[] = []
  const fill = (): void => {
    while (waiting.length < MAX_IN_FLIGHT && !isStopped() && socket.readyState === WebSocket.OPEN) {
      const { id, value } = messages.next(key)
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
