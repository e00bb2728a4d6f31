import type { SeededRandom } from '../../../support/random.js'
import type { Answers } from '../answers.js'
import type { SentReceipt, ToldReceipt } from '../gateway-disk.js'
import { GATEWAY_PORT } from '../http-gateway.js'
import type { SimulatedProcess } from '../process.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import type { Trace } from '../world/trace.js'
import { HttpConnection, type HttpResponse, requestText } from './http-connection.js'

export interface ReceiptReaderDeps {
  readonly host: Host
  readonly gateway: SimulatedProcess
  readonly answers: Answers
  readonly trace: Trace
  readonly random: SeededRandom
  /** All that clients of the gateway have got, in this order. */
  readonly receipts: readonly SentReceipt[]
  /** A question that does not wait is answered by then. */
  readonly answeredWithinMs: number
}

interface ReceiptBody {
  readonly settled: boolean
  readonly records: readonly (Pick<ToldReceipt, 'topic' | 'partition' | 'state'> & {
    readonly offset?: number | null
  })[]
}

const PAUSE_MS = [20, 400] as const
const RETRY_MS = 200
const WAITS_MS = [0, 0, 300, 2_000]
const LAST_WAIT_MS = 5_000
/** Asked for in the end, when all records are settled. */
const LAST = 150
/** Most questions are for one of so many that were given last. */
const NEWEST = 12

/** A client that asks what became of the records of all others, while they are under way and long after. */
export class ReceiptReader implements Workload {
  readonly name = 'receipts'
  readonly host: Host
  readonly counts: Record<string, number> = {}
  readonly #deps: ReceiptReaderDeps
  readonly #violations: Violation[] = []
  readonly #told: ToldReceipt[] = []
  /** Records that were in Kafka, and the process that has said so. */
  readonly #settled = new Map<string, Host>()
  #isAsking = false
  #isStopped = false

  constructor(deps: ReceiptReaderDeps) {
    this.host = deps.host
    this.#deps = deps
  }

  /** What was told of each record, each time. */
  get told(): readonly ToldReceipt[] {
    return this.#told
  }

  start(): void {
    if (this.#isStopped) return
    if (!this.#isAsking) this.#askForAny()
    setTimeout(() => this.start(), this.#deps.random.between(...PAUSE_MS))
  }

  stop(): void {
    this.#isStopped = true
  }

  get isFinished(): boolean {
    return this.#isStopped && !this.#isAsking
  }

  check(): readonly Violation[] {
    return this.#violations
  }

  /** All records are settled: so say their receipts. */
  tryOnceMore(succeeded: () => void): void {
    const left = [...new Set(this.#deps.receipts.map(({ receipt }) => receipt))].slice(-LAST)
    const next = (): void => {
      const receipt = left.at(-1)
      if (receipt === undefined) return void succeeded()
      this.#ask(receipt, LAST_WAIT_MS, isSettled => {
        if (isSettled) left.pop()
        setTimeout(next, isSettled ? 1 : RETRY_MS)
      })
    }
    next()
  }

  #askForAny(): void {
    const { random, receipts } = this.#deps
    if (receipts.length === 0) return
    const isNew = percent(random, 70)
    const from = isNew ? Math.max(0, receipts.length - NEWEST) : 0
    this.#isAsking = true
    this.#ask(receipts[random.between(from, receipts.length - 1)]!.receipt, random.pick(WAITS_MS), () => {
      this.#isAsking = false
    })
  }

  #ask(receipt: string, waitMs: number, onOver: (isSettled: boolean) => void): void {
    const { answers, gateway, answeredWithinMs } = this.#deps
    const { host: process } = gateway
    const answered = answers.ask(`receipt ${receipt}`, waitMs + answeredWithinMs, process)
    let isSettled = false
    const connection = new HttpConnection('127.0.0.1', GATEWAY_PORT, {
      onResponse: response => {
        isSettled = this.#answered(receipt, process, response)
        connection.end()
      },
      onClose: () => {
        answered()
        onOver(isSettled)
      }
    })
    connection.send(requestText('GET', `/receipts/${receipt}${waitMs > 0 ? `?wait=${waitMs}ms` : ''}`))
  }

  /** @returns whether the answer says that all records are settled */
  #answered(receipt: string, process: Host, { status, body }: HttpResponse): boolean {
    this.counts[status] = (this.counts[status] ?? 0) + 1
    this.#deps.trace.say(this.name, `${receipt} ${status} ${body.trim()}`)
    if (status === 503) return false
    if (status !== 200) {
      this.#violated('receipt refused', `${receipt}: ${status} ${body}`)
      return false
    }
    const { settled, records } = JSON.parse(body) as ReceiptBody
    if (settled !== records.every(({ state }) => state !== 'waiting'))
      this.#violated('untrue receipt', `${receipt} is ${settled ? '' : 'not '}settled: ${body}`)
    for (const sent of this.#deps.receipts) if (sent.receipt === receipt) this.#note(sent, process, records)
    return settled
  }

  #note(sent: SentReceipt, process: Host, records: ReceiptBody['records']): void {
    const { id, index, receipt, isDurable, isRetried } = sent
    const record = records[index]
    if (record === undefined) return void this.#violated('untrue receipt', `${id} is not in it`)
    const { state, topic = '', partition = -1, offset } = record
    this.counts[state] = (this.counts[state] ?? 0) + 1
    const place = `${receipt} ${index}`
    if (state === 'inKafka') this.#settled.set(place, process)
    else if (this.#settled.get(place) === process) this.#violated('untrue receipt', `${id} was in Kafka, is ${state}`)
    // What is kept in memory is known to its process only, and the outcome of what it sends may be unknown.
    this.#told.push({
      id,
      state,
      topic,
      partition,
      offset: offset ?? -1,
      isAsked: true,
      mayBeUnknown: !isDurable,
      isRetried
    })
  }

  #violated(rule: string, what: string): void {
    this.#violations.push({ rule, what })
  }
}
