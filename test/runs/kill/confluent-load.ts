import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../../support/history-checker.js'
import { ANSWER_TIMEOUT_MS, type LoadOptions, Messages, numberOf, PAUSE_MS } from './messages.js'
import { type Answer, type Asked, Poster } from './post.js'

export const confluentModes = ['confluentV2', 'confluentV3', 'confluentStream'] as const
export type ConfluentMode = (typeof confluentModes)[number]

const MOST_RECORDS_OF_A_REQUEST = 5
/** Records of a stream that wait for their answers. */
const MAX_IN_FLIGHT = 200
const MOST_RECORDS_OF_A_STREAM = 20_000
/** One record of this many names a partition that does not exist: it is refused. */
const REFUSED_ONE_OF = 50
const NO_SUCH_PARTITION = 1_000

/** Writes to Confluent's API: requests of version 2 with several records, of version 3 with one, or streams. */
export function loadOfConfluent(mode: ConfluentMode, options: LoadOptions): Promise<void> {
  return mode === 'confluentStream' ? loadByStreams(options) : loadByRequests(mode, options)
}

interface Sent {
  readonly id: string
  readonly key: string
  readonly value: string
  /** `undefined`: that of its key. */
  readonly partition: number | undefined
}

/** Makes messages, a few of which name a partition that does not exist. */
function nextOf(options: LoadOptions): () => Sent {
  const { keys, random } = options
  const messages = new Messages(options)
  return () => {
    const key = random.pick(keys)
    const partition = random.between(1, REFUSED_ONE_OF) === 1 ? NO_SUCH_PARTITION : undefined
    return { ...messages.next(key), key, partition }
  }
}

/** What both versions say about a record, as far as it counts here. */
interface RecordAnswer {
  readonly partition: number
  readonly offset: number
  /** `null` and 200: it is in Kafka. */
  readonly code: number | null
  /** Whether it is in Kafka, where it is certain that it is not. */
  readonly isAbsent: boolean
}

/** A record that is answered 4xx is not written, whatever else the answer says. */
function toOutcome({ partition, offset, code, isAbsent }: RecordAnswer): Outcome {
  if (code === null || code === 200) return { type: 'ok', partition, offset }
  return isAbsent || isClientError(code) ? { type: 'fail' } : { type: 'unknown', answered: true }
}

/** 400 to 499, and Confluent's longer codes of the same statuses: 40402. */
const isClientError = (code: number): boolean => String(code).startsWith('4')

interface V3Answer {
  readonly error_code: number
  readonly partition_id: number
  readonly offset: number
  readonly message?: string
}

const ofV3 = ({ error_code: code, partition_id: partition, offset, message = '' }: V3Answer): RecordAnswer => ({
  partition,
  offset,
  code,
  isAbsent: message.endsWith('(in Kafka: no)')
})

const toV3 = ({ key, value, partition }: Sent): string =>
  JSON.stringify({
    partition_id: partition,
    key: { type: 'BINARY', data: base64(key) },
    value: { type: 'STRING', data: value }
  })

const toV2 = ({ key, value, partition }: Sent): object => ({ key: base64(key), value: base64(value), partition })

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** The answer of version 2 to one record. */
interface V2Answer {
  readonly partition: number
  readonly offset: number
  readonly error_code: number | null
}

/** `y`, `n` or `u` of a record: one word stands for all. */
const certaintyAt = (persisted: string, at: number): string =>
  ['yes', 'no', 'unknown'].includes(persisted) ? persisted[0]! : (persisted[at] ?? 'u')

/** One request after another, over one connection. */
async function loadByRequests(mode: 'confluentV2' | 'confluentV3', options: LoadOptions): Promise<void> {
  const { isStopped, random, history, topic, url } = options
  const next = nextOf(options)
  const poster = new Poster(url)
  while (!isStopped()) {
    const count = mode === 'confluentV3' ? 1 : random.between(1, MOST_RECORDS_OF_A_REQUEST)
    const all = Array.from({ length: count }, next)
    const asked: Asked =
      mode === 'confluentV3'
        ? { path: recordsPath(topic), body: toV3(all[0]!), type: 'application/json' }
        : {
            path: `/confluent/topics/${topic}`,
            body: JSON.stringify({ records: all.map(toV2) }),
            type: 'application/vnd.kafka.binary.v2+json'
          }
    const answer = await poster.post(asked, socket => {
      for (const { id } of all) history.sentOver(id, numberOf(socket))
    })
    for (const [at, { id }] of all.entries()) history.complete(id, outcomeAt(at, mode, answer))
    if (answer?.status !== 200) await sleep(PAUSE_MS)
  }
  poster.close()
}

function outcomeAt(at: number, mode: ConfluentMode, answer: Answer | undefined): Outcome {
  if (answer === undefined) return { type: 'unknown', answered: false }
  const { status, persisted, body } = answer
  const isAbsent = certaintyAt(persisted, at) === 'n'
  if (status !== 200) return toOutcome({ partition: -1, offset: -1, code: status, isAbsent })
  if (mode === 'confluentV3') return toOutcome(ofV3(JSON.parse(body) as V3Answer))
  const { partition, offset, error_code: code } = (JSON.parse(body) as { offsets: V2Answer[] }).offsets[at]!
  return toOutcome({ partition, offset, code, isAbsent })
}

/** The id of the cluster is only repeated in answers. */
const recordsPath = (topic: string): string => `/confluent/v3/clusters/killed/topics/${topic}/records`

/** Streams one after another; each is held open for many records, which are sent while answers come. */
async function loadByStreams(options: LoadOptions): Promise<void> {
  const { isStopped, random } = options
  const next = nextOf(options)
  while (!isStopped()) {
    await new OpenStream(options, next, random.between(1, MOST_RECORDS_OF_A_STREAM)).over()
    await sleep(PAUSE_MS)
  }
}

/** One request, until its answer has ended. Answers belong to the records in their order. */
class OpenStream {
  readonly #options: LoadOptions
  readonly #next: () => Sent
  readonly #call: ClientRequest
  readonly #waiting: Sent[] = []
  #recordsLeft: number
  #connection: number | undefined
  #isEnded = false
  #isOver = false
  #text = ''
  #over: (error?: Error) => void = () => undefined

  /** @param records number of records after which the client ends the stream */
  constructor(options: LoadOptions, next: () => Sent, records: number) {
    this.#options = options
    this.#next = next
    this.#recordsLeft = records
    const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
    this.#call = request(options.url + recordsPath(options.topic), { method: 'POST', agent: false, headers })
  }

  /** Resolves when each record has its outcome. Rejects where answers are too many, or too few before a proper end. */
  over(): Promise<void> {
    const call = this.#call
    return new Promise((resolve, reject) => {
      this.#over = error => {
        if (this.#isOver) return
        this.#isOver = true
        call.destroy()
        for (const { id } of this.#waiting) this.#options.history.complete(id, { type: 'unknown', answered: false })
        if (error === undefined) resolve()
        else reject(error)
      }
      call.setTimeout(ANSWER_TIMEOUT_MS, () => this.#over(new Error('a stream got no answer in time')))
      call.on('error', () => this.#over())
      call.on('socket', socket => {
        this.#connection = numberOf(socket)
        socket.once('connect', () => this.#fill())
      })
      call.on('response', response => this.#begun(response))
    })
  }

  #begun(response: IncomingMessage): void {
    const { statusCode = 0 } = response
    // The stream was refused as a whole; nothing of it was read.
    if (statusCode !== 200) {
      const outcome = toOutcome({ partition: -1, offset: -1, code: statusCode, isAbsent: isAbsent(response) })
      for (const { id } of this.#waiting.splice(0)) this.#options.history.complete(id, outcome)
      this.#over()
      return
    }
    response.on('data', (chunk: Buffer) => this.#came(chunk))
    response.on('error', () => this.#over())
    response.on('end', () => {
      const isShort = this.#isEnded && this.#waiting.length > 0
      this.#over(
        isShort ? new Error(`a stream that ended properly left ${this.#waiting.length} unanswered`) : undefined
      )
    })
  }

  #fill(): void {
    const { history, isStopped } = this.#options
    if (this.#isOver || this.#isEnded) return
    let text = ''
    while (this.#waiting.length < MAX_IN_FLIGHT && this.#recordsLeft > 0 && !isStopped()) {
      const sent = this.#next()
      this.#recordsLeft--
      this.#waiting.push(sent)
      history.sentOver(sent.id, this.#connection!)
      text += toV3(sent)
    }
    if (text !== '') this.#call.write(text)
    if (this.#recordsLeft > 0 && !isStopped()) return
    this.#isEnded = true
    this.#call.end()
  }

  #came(chunk: Buffer): void {
    const lines = (this.#text + chunk.toString()).split('\r\n')
    this.#text = lines.pop()!
    for (const line of lines) {
      const sent = this.#waiting.shift()
      if (sent === undefined) {
        this.#over(new Error(`nobody asked for the answer ${line}`))
        return
      }
      this.#options.history.complete(sent.id, toOutcome(ofV3(JSON.parse(line) as V3Answer)))
    }
    this.#fill()
  }
}

const isAbsent = ({ headers }: IncomingMessage): boolean => headers['x-castellan-persisted'] === 'no'
