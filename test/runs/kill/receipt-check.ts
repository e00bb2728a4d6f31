import { setTimeout as sleep } from 'node:timers/promises'
import type { Logged } from '../../support/history-checker.js'
import type { SeededRandom } from '../../support/random.js'
import { HttpClient } from '../http-client.js'
import { ANSWER_TIMEOUT_MS, PAUSE_MS } from './messages.js'

/** What a receipt says about its only record. */
interface Told {
  readonly state: string
  readonly topic?: string
  readonly partition?: number
  /** `null`: Kafka has not told it. */
  readonly offset?: number | null
}

interface Noted {
  readonly id: string
  readonly receipt: string
}

/** How receipts compare with Kafka's log. */
export interface ReceiptVerdict {
  readonly receipts: number
  /** Answers with a state, all together, those that said that the record waits, and those without the offset. */
  readonly answers: number
  readonly waiting: number
  readonly withoutOffset: number
  /** What is wrong: a place where Kafka does not have the record, or no state of a record that was acknowledged. */
  readonly wrong: readonly string[]
}

/** Requests at a time in the end. */
const AT_A_TIME = 24
/** While the gateway is killed, some questions wait. */
const WAITS = ['', '', '?wait=100ms', '?wait=2s']
/** A receipt is asked for so many times at most while the gateway is away. */
const ATTEMPTS = 600

/** A client that asks for the receipts of others, while the gateway is killed and in the end. */
export class ReceiptCheck {
  readonly #random: SeededRandom
  readonly #client: HttpClient
  readonly #noted: Noted[] = []
  /** Places that were told, by the id of the record. */
  readonly #places = new Map<string, string>()
  /** Records that are in Kafka, wherever they are. */
  readonly #somewhere = new Set<string>()
  readonly #wrong: string[] = []
  #answers = 0
  #waiting = 0
  #withoutOffset = 0

  constructor(url: string, random: SeededRandom) {
    this.#client = new HttpClient(url, { maxSockets: AT_A_TIME, timeoutMs: ANSWER_TIMEOUT_MS })
    this.#random = random
  }

  /** An answer had a receipt. */
  note(id: string, receipt: string | undefined): void {
    if (receipt !== undefined) this.#noted.push({ id, receipt })
  }

  /** Asks for one receipt after the other, old ones and new ones. */
  async run(isStopped: () => boolean): Promise<void> {
    while (!isStopped()) {
      const newest = this.#noted.at(-1)
      if (newest === undefined) await sleep(PAUSE_MS)
      else {
        await this.#ask(this.#random.next() < 0.5 ? newest : this.#random.pick(this.#noted), false)
        await sleep(1)
      }
    }
  }

  /** Asks for every receipt. No record waits any more. */
  async askAll(): Promise<void> {
    let next = 0
    const ask = async (): Promise<void> => {
      while (next < this.#noted.length) await this.#ask(this.#noted[next++]!, true)
    }
    await Promise.all(Array.from({ length: AT_A_TIME }, ask))
    this.#client.close()
  }

  check(log: readonly Logged[], idOf: (logged: Logged) => string | undefined): ReceiptVerdict {
    const places = new Set(log.map(logged => `${idOf(logged)} ${logged.topic}/${logged.partition}@${logged.offset}`))
    const wrong = [...this.#places].filter(([id, place]) => !places.has(`${id} ${place}`))
    const ids = new Set(log.map(idOf))
    const missing = [...this.#somewhere].filter(id => !ids.has(id))
    return {
      receipts: this.#noted.length,
      answers: this.#answers,
      waiting: this.#waiting,
      withoutOffset: this.#withoutOffset,
      wrong: [
        ...this.#wrong,
        ...wrong.map(([id, place]) => `${id} is not at ${place}`),
        ...missing.map(id => `${id} is nowhere`)
      ]
    }
  }

  async #ask({ id, receipt }: Noted, isLast: boolean): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const wait = isLast ? '' : this.#random.pick(WAITS)
      const answer = await this.#client.ask('GET', `/receipts/${receipt}${wait}`)
      if (answer !== undefined && answer.status !== 503) {
        this.#told(id, answer.status, answer.body, isLast)
        return
      }
      if (!isLast) return
      await sleep(PAUSE_MS)
    }
    this.#wrong.push(`${id}: no answer`)
  }

  #told(id: string, status: number, body: string, isLast: boolean): void {
    if (status !== 200) {
      this.#wrong.push(`${id}: ${status} ${body}`)
      return
    }
    this.#answers++
    const [record] = (JSON.parse(body) as { records: Told[] }).records
    const { state, topic, partition, offset } = record!
    if (state === 'waiting' && !isLast) this.#waiting++
    else if (state !== 'inKafka') this.#wrong.push(`${id}: ${JSON.stringify(record)}`)
    else if (offset === null) {
      this.#withoutOffset++
      this.#somewhere.add(id)
    } else {
      const place = `${topic}/${partition}@${offset}`
      const before = this.#places.get(id)
      if (before !== undefined && before !== place) this.#wrong.push(`${id}: first ${before}, then ${place}`)
      this.#places.set(id, place)
    }
  }
}
