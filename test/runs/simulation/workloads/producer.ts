import type { ProduceRecord, RecordFailure, RecordOutcome } from '../../../../src/core/model.js'
import type { ProduceOptions } from '../../../../src/verbs/verbs.js'
import type { History, Outcome } from '../../../support/history-checker.js'
import type { SeededRandom } from '../../../support/random.js'
import type { Answers } from '../answers.js'
import type { Departures } from '../departures.js'
import type { Service } from '../service.js'
import type { Workload } from '../workload.js'
import type { Trace } from '../world/trace.js'
import { Client } from './client.js'
import { someRecord } from './record-shapes.js'

export interface ProducerOptions {
  readonly name: string
  readonly topics: readonly string[]
  readonly keys: number
  /** Between two calls. */
  readonly pauseMs: readonly [number, number]
  readonly maxRecordsPerCall: number
  readonly maxValueBytes: number
  readonly deadlineMs: readonly [number, number]
  /** Calls without an answer before it waits for one. */
  readonly maxOpen: number
}

export interface ServiceDeps {
  readonly service: Service
  readonly answers: Answers
  readonly history: History
  readonly departures: Departures
  readonly trace: Trace
  readonly random: SeededRandom
  /** Simulated milliseconds. */
  now(): number
  /** A group whose coordinator is this node. */
  groupOn(nodeId: number): string
  /** Does something as the process does. */
  onHost<Result>(action: () => Result): Result
}

const LAST_DEADLINE_MS = 5_000
const AGAIN_MS = 200

const toOutcome = (outcome: RecordOutcome): Outcome => {
  if (outcome.type === 'delivered') {
    const { partition, offset, timestampMs } = outcome
    // -1: Kafka has it and has not said where.
    return offset < 0 ? { type: 'ok', timestampMs } : { type: 'ok', partition, offset, timestampMs }
  }
  return outcome.persisted === 'no' ? { type: 'fail' } : { type: 'unknown', answered: true }
}

/** Writes records through the gateway of a service, several calls at a time. */
export class Producer extends Client<ProducerOptions, ServiceDeps> implements Workload {
  readonly counts = { calls: 0, records: 0, ok: 0, no: 0, unknown: 0 }
  #open = 0

  start(): void {
    if (this.isStopped) return
    if (this.#open < this.options.maxOpen) this.#call()
    const { random } = this.deps
    setTimeout(() => this.start(), random.between(...this.options.pauseMs))
  }

  get isFinished(): boolean {
    return this.#open === 0
  }

  /** A record of each key to each topic. */
  tryOnceMore(succeeded: () => void): void {
    const { topics, keys } = this.options
    const places = topics.flatMap(topic => Array.from({ length: keys }, (_, key) => ({ topic, key: key + 1 })))
    const tryAll = (open: typeof places): void => {
      if (open.length === 0) return void succeeded()
      const ids: string[] = []
      const records = open.map(({ topic, key }) => this.#recordTo(topic, key, ids))
      this.#produce(records, ids, LAST_DEADLINE_MS, outcomes => {
        const failed = open.filter((_, index) => outcomes[index]!.type !== 'delivered')
        setTimeout(() => tryAll(failed), AGAIN_MS)
      })
    }
    tryAll(places)
  }

  #call(): void {
    const { random } = this.deps
    const { deadlineMs: range, maxRecordsPerCall } = this.options
    const deadlineMs = random.between(...range)
    const ids: string[] = []
    const count = random.between(1, maxRecordsPerCall)
    const records = Array.from({ length: count }, () => this.#record(ids))
    this.#produce(records, ids, deadlineMs)
  }

  #produce(
    records: readonly ProduceRecord[],
    ids: readonly string[],
    deadlineMs: number,
    then?: (outcomes: readonly RecordOutcome[]) => void
  ): void {
    const { service, answers } = this.deps
    const options: ProduceOptions = { partitioner: 'crc32', deadlineMs }
    const answered = answers.ask(`produce ${ids[0]}…${ids.length} by ${this.name}`, deadlineMs)
    this.#open++
    this.counts.calls++
    const pendingProduce = service.verbs.produce(records, options)
    overwrite(records)
    pendingProduce.outcomes().then(outcomes => {
      this.#open--
      if (!answered()) return
      outcomes.forEach((outcome, index) => this.#settled(ids[index]!, outcome))
      then?.(outcomes)
    })
  }

  #record(ids: string[]): ProduceRecord {
    const { topics, keys } = this.options
    const { random } = this.deps
    const key = random.between(1, keys)
    return this.#recordTo(random.pick(topics), key, ids)
  }

  #recordTo(topic: string, keyNumber: number, ids: string[]): ProduceRecord {
    const { random, history } = this.deps
    const { maxValueBytes } = this.options
    const id = `${this.name}.${++this.counts.records}`
    const { record, invoked } = someRecord({ id, topic, key: `${this.name}-key-${keyNumber}`, maxValueBytes }, random)
    ids.push(id)
    history.invoke(invoked)
    return record
  }

  #settled(id: string, outcome: RecordOutcome): void {
    const known = toOutcome(outcome)
    this.counts[known.type === 'ok' ? 'ok' : known.type === 'fail' ? 'no' : 'unknown']++
    const { history, trace } = this.deps
    if (outcome.type === 'failed') this.#checkFailure(id, outcome)
    history.complete(id, known)
    trace.say(this.name, `${id} ${describe(outcome)}`)
  }

  #checkFailure(id: string, { code, persisted, retriable, errorCode, message }: RecordFailure): void {
    const isUnsent = this.deps.departures.of(id).length === 0
    if (persisted !== 'no' && isUnsent) this.#violated('unknown though unsent', `${id}, when it was told`)
    // What may pass is tried again, for as long as there is time.
    const isGivenUp = retriable && errorCode !== undefined && code !== 'unknownTopic'
    if (isGivenUp) this.#violated('given up', `${id}: ${message}`)
  }

  #violated(rule: string, what: string): void {
    this.violations.push({ rule, what })
  }
}

/** Their memory is the caller's again: nothing of it may be needed any more. */
function overwrite(records: readonly ProduceRecord[]): void {
  for (const { key, value, headers = [] } of records)
    for (const bytes of [key, value, ...headers.map(header => header.value)])
      if (Buffer.isBuffer(bytes)) bytes.fill('!')
}

const describe = (outcome: RecordOutcome): string =>
  outcome.type === 'delivered'
    ? `is at ${outcome.partition}@${outcome.offset}`
    : `${outcome.code}, persisted ${outcome.persisted}: ${outcome.message}`
