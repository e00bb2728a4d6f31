import { setTimeout as sleep } from 'node:timers/promises'
import { INNOCENT, type Scene } from './scene.js'

const PAUSE_MS = 5
const NEWCOMER_EVERY_MS = 100

export const innocentNames = ['reader', 'producer', 'pusher', 'committer', 'newcomer'] as const
export type InnocentName = (typeof innocentNames)[number]

/** The results of the well-behaved clients. */
export interface Watched {
  /** The latency of every answered request, in milliseconds. */
  readonly latenciesMs: Readonly<Record<InnocentName, readonly number[]>>
  /** A description of each wrong answer. */
  readonly wrong: readonly string[]
}

/**
 * Five well-behaved clients, each of which sends one request after another:
 *
 *   reader      reads what the producer writes, every record once and in order
 *   producer    writes records one by one, in process
 *     pusher      writes records one by one, over HTTP
 *   committer   commits offsets of a group, and checks the stored offset and the end of the log
 *   newcomer    reads and writes topics that exist and have not been used before
 */
export class Innocents {
  readonly #scene: Scene
  readonly #groupId: string
  readonly #deadlineMs: number
  readonly #latenciesMs = Object.fromEntries(innocentNames.map(name => [name, []])) as unknown as Record<
    InnocentName,
    number[]
  >
  readonly #wrong: string[] = []
  readonly #fresh: string[]
  #written = 0
  #endOffset = 0
  #isOn = true
  #work: Promise<unknown> = Promise.resolve()

  constructor(scene: Scene, groupId: string, deadlineMs: number) {
    this.#scene = scene
    this.#groupId = groupId
    this.#deadlineMs = deadlineMs
    this.#fresh = [...scene.freshTopics]
  }

  /** @param freshTopics number of fresh topics that the newcomer may use */
  start(freshTopics: number): void {
    this.#isOn = true
    const newcomer = this.#arrive(this.#fresh.splice(0, freshTopics))
    this.#work = Promise.all([this.#read(), this.#produce(), this.#push(), this.#commit(), newcomer])
  }

  /** Waits for the last answers and returns the results of all clients. */
  async stop(): Promise<Watched> {
    this.#isOn = false
    await this.#work
    const latenciesMs = Object.fromEntries(innocentNames.map(name => [name, this.#latenciesMs[name].splice(0)]))
    return { latenciesMs: latenciesMs as Record<InnocentName, number[]>, wrong: this.#wrong.splice(0) }
  }

  async #timed<Answer>(name: InnocentName, ask: () => Promise<Answer>): Promise<Answer> {
    const startedAt = performance.now()
    const answer = await ask()
    const took = performance.now() - startedAt
    this.#latenciesMs[name].push(took)
    if (took > this.#deadlineMs) this.#wrong.push(`${name} was answered after its deadline, after ${took} ms`)
    return answer
  }

  #expect(name: InnocentName, isRight: boolean, answer: unknown): void {
    if (!isRight) this.#wrong.push(`${name}: ${JSON.stringify(answer)}`)
  }

  async #read(): Promise<void> {
    let offset = this.#endOffset
    let last: number | undefined
    while (this.#isOn) {
      const request = { type: 'fetchData', topicPartition: INNOCENT, offset, timeoutMs: this.#deadlineMs } as const
      const result = await this.#timed('reader', () => this.#scene.ask(request))
      this.#expect('reader', result.type === 'success' || result.type === 'noMessages', { ...result, batch: undefined })
      if (result.type !== 'success') continue
      for (const record of result.batch) {
        const number = Number(record.value)
        this.#expect('reader', last === undefined || number === last + 1, `${number} after ${last}`)
        last = number
      }
      offset = result.batch.nextOffset
    }
  }

  async #produce(): Promise<void> {
    while (this.#isOn) {
      const record = { ...INNOCENT, key: null, value: `${this.#written}` }
      const [outcome] = await this.#timed('producer', () => this.#scene.produce([record], this.#deadlineMs))
      this.#expect('producer', outcome?.type === 'delivered', outcome)
      if (outcome?.type === 'delivered') {
        this.#endOffset = outcome.offset + 1
        this.#written++
      }
      await sleep(PAUSE_MS)
    }
  }

  async #push(): Promise<void> {
    while (this.#isOn) {
      const body = JSON.stringify({ records: [{ topic: 'pushed', data: 'value' }], wait_for_send: true })
      const headers = { 'content-type': 'application/json' }
      const answer = await this.#timed('pusher', async () => {
        const response = await fetch(`${this.#scene.url}/kprf/push`, { method: 'POST', headers, body })
        return { status: response.status, text: await response.text() }
      })
      this.#expect('pusher', answer.status === 200, answer)
      await sleep(PAUSE_MS)
    }
  }

  async #commit(): Promise<void> {
    const partition = { topicPartition: INNOCENT, timeoutMs: this.#deadlineMs }
    const common = { groupId: this.#groupId, ...partition }
    for (let offset = 0; this.#isOn; offset++) {
      const commit = { type: 'commitConsumerOffset', ...common, offsetAndMetadata: { offset } } as const
      const told = await this.#timed('committer', () => this.#scene.ask(commit))
      this.#expect('committer', told.type === 'success', told)
      const look = { type: 'fetchConsumerOffset', ...common } as const
      const stored = await this.#timed('committer', () => this.#scene.ask(look))
      const isStored = stored.type === 'success' && stored.offsetAndMetadata.offset === offset
      this.#expect('committer', isStored, { offset, stored })
      const acknowledged = this.#endOffset
      const ask = { type: 'fetchOffset', offsetType: 'latest', ...partition } as const
      const end = await this.#timed('committer', () => this.#scene.ask(ask))
      this.#expect('committer', end.type === 'success' && end.offset >= acknowledged, { acknowledged, end })
      await sleep(PAUSE_MS)
    }
  }

  async #arrive(topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      if (!this.#isOn) return
      const topicPartition = { topic, partition: 0 }
      const ask = { type: 'fetchOffset', topicPartition, offsetType: 'latest', timeoutMs: this.#deadlineMs } as const
      const end = await this.#timed('newcomer', () => this.#scene.ask(ask))
      this.#expect('newcomer', end.type === 'success', end)
      const record = { topic, key: null, value: 'the first' }
      const [outcome] = await this.#timed('newcomer', () => this.#scene.produce([record], this.#deadlineMs))
      this.#expect('newcomer', outcome?.type === 'delivered', outcome)
      await sleep(NEWCOMER_EVERY_MS)
    }
  }
}
