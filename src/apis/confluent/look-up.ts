import { z } from 'zod'
import { CastellanError, TimedOutError } from '../../core/errors.js'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import type { MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Shares } from '../../core/shares.js'
import { ApiError } from '../../http/api/api-answers.js'
import { answerWork, type EndpointBase, withBytes } from '../../http/api/endpoint.js'
import { LongList, type LongLists, longListIn } from '../../http/api/long-lists.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { errorCodes, kafkaErrorOf, NO_SUCH_TOPIC } from '../../kafka/error-codes.js'
import type { TopicMetadata } from '../../verbs/verbs.js'
import type { ConfluentAnswers } from './answers.js'
import {
  detailed,
  KAFKA_UNKNOWN,
  noTopicText,
  PARTITION_NOT_FOUND,
  problemOf,
  TOPIC_NOT_FOUND,
  type Version
} from './failures.js'

/** Every error of Confluent's API. */
export const error = z.object({ error_code: z.int(), message: z.string() })

/** The parts that every endpoint is created with. */
export interface ConfluentParts extends EndpointBase {
  readonly answers: ConfluentAnswers
  readonly pool: BufferPool
  /** Look-ups and changes that are open, by client. */
  readonly lookUps: Shares
  readonly longLists: LongLists
  readonly records: RecordBudget
}

/** The time limit of one request. It is one limit for all steps of the request together. */
export class TimeLeft {
  readonly #timeoutMs: number
  readonly #clock: MonotonicClock
  readonly #endsAt: number

  constructor(timeoutMs: number, clock: MonotonicClock) {
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#endsAt = clock() + timeoutMs
  }

  /** @throws TimedOutError when no time is left: the next step is not begun */
  get ms(): number {
    const ms = Math.ceil(this.#endsAt - this.#clock())
    if (ms > 0) return ms
    throw new TimedOutError('the request', this.#timeoutMs, 'Kafka was not asked for the rest of it')
  }
}

/**
 * Does the work of a request that has its permission, and answers 200 with its result as JSON.
 *
 * @param topic that the request names
 * @param work `undefined` as its result: it has answered by itself
 */
export function answerAllowed(
  parts: ConfluentParts,
  exchange: Exchange,
  version: Version,
  topic: string | undefined,
  work: () => Promise<unknown>
): void {
  const { answers } = parts
  answerWork(parts, exchange, async client => {
    const result = await work().catch(error => {
      throw error instanceof CastellanError ? problemOf(error, topic) : error
    })
    const list = result instanceof LongList ? result : longListIn(result)
    if (list !== undefined)
      await parts.longLists.answer(list, client, exchange.response, made => answers.long(exchange, version, made))
    else if (result !== undefined) answers.ok(exchange, version, JSON.stringify(result))
  })
}

const TOO_LARGE = new ApiError(
  413,
  `the body is larger than ${MAX_PARSED_BYTES} bytes, the limit of requests that produce nothing`
)

/** Reads a small body. @param use gets the bytes, valid during the call; what it throws is answered */
export const readSmallBody = (parts: ConfluentParts, exchange: Exchange, use: (bytes: Buffer) => void): void =>
  withBytes(parts, exchange, MAX_PARSED_BYTES, TOO_LARGE, use)

/** The topic of this name. @throws ApiError when there is none, KafkaError when it cannot be read */
export function usableTopic(
  topics: ReadonlyMap<string, TopicMetadata>,
  name: string,
  missing = noTopic(name)
): TopicMetadata {
  const found = topics.get(name)
  if (found?.errorCode === errorCodes.NONE) return found
  throw found === undefined || NO_SUCH_TOPIC.has(found.errorCode) ? missing : kafkaErrorOf(found.errorCode)
}

export type FoundPartition = TopicMetadata['partitions'][number]

/** The partition that a path names. @throws ApiError when there is none */
export function requirePartition({ topic, partitions }: TopicMetadata, text: string): FoundPartition {
  const number = partitionIn(text)
  const found = partitions.find(({ partition }) => partition === number)
  if (found === undefined) throw noPartition(topic, text)
  return found
}

/** A partition in a path; `none`: there can be none of this name. */
export const partitionIn = (text: string): number | 'none' => (/^\d{1,9}$/.test(text) ? Number(text) : 'none')

/** The error of version 3 for requests that do not produce: the original's clients look for its code. */
export const unknownTopic = (topic: string): ApiError => detailed(noTopic(topic), { code: KAFKA_UNKNOWN })

export const noTopic = (topic: string): ApiError => new ApiError(404, noTopicText(topic), { code: TOPIC_NOT_FOUND })

export const noPartition = (topic: string, partition: string): ApiError =>
  new ApiError(404, `topic ${topic} has no partition ${partition}`, { code: PARTITION_NOT_FOUND })

export const inOrderOfBytes = (one: string, other: string): number =>
  Buffer.compare(Buffer.from(one), Buffer.from(other))
