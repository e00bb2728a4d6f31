import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from '@node-rs/crc32'
import type { History } from '../../../support/history-checker.js'
import type { SeededRandom } from '../../../support/random.js'

/** Longer than any answer may take: whoever waits longer was forgotten. */
const answerTimeoutMs = 10_000

/** Where a keyed record of kprf goes. */
export const partitionOf = (key: string, partitions: number): number => crc32(Buffer.from(key)) % partitions

export interface PushLoopOptions {
  readonly name: string
  readonly url: string
  readonly topic: string
  /** Its own, shared with no other loop: it sends one request after another, so their order is known. */
  readonly keys: readonly string[]
  readonly waitForSend: boolean
  readonly pauseMs: number
  readonly random: SeededRandom
  readonly history: History
  /** Called for every acknowledged request; `sentAt` on the clock of `performance.now`. */
  readonly onAcknowledged?: (keys: readonly string[], sentAt: number, at: number) => void
}

/** What a loop saw. */
export interface PushCounts {
  requests: number
  records: number
  ok: number
  refused: number
  unknown: number
  unanswered: number
  slowestMs: number
}

/** One client of `POST /kprf/push`: requests one after another until it is stopped, each written down before it is sent. */
export class PushLoop {
  readonly counts: PushCounts = { requests: 0, records: 0, ok: 0, refused: 0, unknown: 0, unanswered: 0, slowestMs: 0 }
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #sequence = 0
  #stopped = false
  #ended: Promise<void> = Promise.resolve()

  constructor(readonly options: PushLoopOptions) {}

  start(): void {
    this.#ended = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#ended
    this.#agent.destroy()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#push()
      await sleep(this.options.pauseMs)
    }
  }

  async #push(): Promise<void> {
    const { random, keys, topic, history, waitForSend, name } = this.options
    const records = Array.from({ length: random.between(1, 4) }, () => {
      const id = `${name}-${++this.#sequence}`
      const key = random.pick(keys)
      const value = `${id} ${'x'.repeat(random.between(0, 60))}`
      history.invoke({ id, topic, key, value })
      return { id, key, value }
    })
    const body = { records: records.map(({ key, value }) => ({ topic, key, data: value })), wait_for_send: waitForSend }
    const sentAt = performance.now()
    const answer = await post(this.#agent, `${this.options.url}/kprf/push`, JSON.stringify(body))
    const at = performance.now()
    this.counts.requests++
    this.counts.records += records.length
    this.counts.slowestMs = Math.max(this.counts.slowestMs, at - sentAt)
    if (answer === undefined) this.counts.unanswered++
    const outcomes = toOutcomes(answer, records.length)
    records.forEach(({ id }, index) => {
      const outcome = outcomes[index]!
      history.complete(id, outcome)
      if (outcome.type === 'ok') this.counts.ok++
      else if (outcome.type === 'fail') this.counts.refused++
      else this.counts.unknown++
    })
    if (answer?.status === 200)
      this.options.onAcknowledged?.(
        records.map(record => record.key),
        sentAt,
        at
      )
  }
}

interface Answer {
  readonly status: number
  readonly body: string
}
type PushOutcome = { type: 'ok' } | { type: 'fail' } | { type: 'unknown'; answered: boolean }

/** What kprf's answer says about each record: an entry without error is delivered, a full queue never took it. */
function toOutcomes(answer: Answer | undefined, count: number): PushOutcome[] {
  const all = (outcome: PushOutcome): PushOutcome[] => Array.from({ length: count }, () => outcome)
  if (answer === undefined) return all({ type: 'unknown', answered: false })
  if (answer.status === 200) return all({ type: 'ok' })
  const { errors } = JSON.parse(answer.body) as { errors: { error: boolean; message: string | null }[] }
  if (errors.length !== count) throw new Error(`${count} records were answered by ${answer.body}`)
  return errors.map(({ error, message }) => {
    if (!error) return { type: 'ok' }
    return message?.includes('QueueFull') ? { type: 'fail' } : { type: 'unknown', answered: true }
  })
}

function post(agent: Agent, url: string, body: string): Promise<Answer | undefined> {
  return new Promise(resolve => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const call = request(url, { method: 'POST', agent, headers, timeout: answerTimeoutMs }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
      response.on('error', () => resolve(undefined))
    })
    call.on('timeout', () => call.destroy(new Error('no answer')))
    call.on('error', () => resolve(undefined))
    call.end(body)
  })
}

/** Sends one record and waits until it is in Kafka; `false` when it was not acknowledged. */
export async function pushOnce(
  url: string,
  topic: string,
  partition: number,
  key: string,
  value: string
): Promise<boolean> {
  const agent = new Agent()
  const body = { records: [{ topic, partition, key, data: value }], wait_for_send: true }
  const answer = await post(agent, `${url}/kprf/push`, JSON.stringify(body))
  agent.destroy()
  return answer?.status === 200
}
