import type { CastellanError } from '../../core/errors.js'
import type { CommitOutcome, GroupOffset } from '../../gateway/gateway.js'
import { groupOf, ParameterError } from './consume-parameters.js'
import { type AnyFailure, CONSUMED, isConsumedByOthers } from './failure-texts.js'
import type { ReadBody } from './form-reader.js'
import { goJson, type Json } from './go-json.js'
import { GoJsonError } from './go-json-check.js'
import { lagOf } from './lag.js'
import { offsetChangesOf } from './offset-changes.js'
import { merged } from './parameters.js'
import type { PixyRequest, RouteParts } from './pixy-request.js'
import type { KafkaPixySettings } from './settings.js'

const UNKNOWN_TOPIC = 'Unknown topic'
/** What a group that has committed nothing has for an offset. */
const NONE = -1

/** `GET` and `POST /topics/{topic}/offsets`. */
export class OffsetsEndpoint {
  readonly #timeoutMs: number
  readonly #parts: RouteParts

  constructor({ lookUpTimeoutMs }: KafkaPixySettings, parts: RouteParts) {
    this.#timeoutMs = lookUpTimeoutMs
    this.#parts = parts
  }

  read(request: PixyRequest): void {
    this.#settle(request, this.#read(request))
  }

  /** @param body whose bytes are valid during the call */
  write(request: PixyRequest, body: ReadBody): void {
    this.#settle(request, this.#write(request, body))
  }

  async #read(request: PixyRequest): Promise<void> {
    const { exchange, gateway, topic, query } = request
    const { answers } = this.#parts
    const groupId = groupOf(query.values)
    if (this.#isRefused(request, groupId)) return
    const offsets = await gateway.offsets(groupId, topic, this.#timeoutMs)
    if (offsets === undefined) answers.error(exchange, 404, UNKNOWN_TOPIC)
    else answers.ok(exchange, goJson(offsets.map(toJson)))
  }

  async #write(request: PixyRequest, { form, rest }: ReadBody): Promise<void> {
    const { exchange, gateway, topic, query } = request
    const { answers } = this.#parts
    const groupId = groupOf(merged(form, query.values))
    if (this.#isRefused(request, groupId)) return
    const changes = offsetChangesOf(rest)
    const isPossible = [...changes.keys()].every(partition => partition >= 0)
    const outcomes = isPossible ? await gateway.commit(groupId, topic, changes, this.#timeoutMs) : undefined
    if (outcomes === undefined || hasUnknown(outcomes)) answers.error(exchange, 404, UNKNOWN_TOPIC)
    else answers.ok(exchange, '{}')
  }

  #isRefused({ exchange, topic }: PixyRequest, group: string): boolean {
    const { access, answers } = this.#parts
    const refusal = access.callerOf(exchange.request).refusalOf('offsets', { topic, group })
    if (refusal !== undefined) answers.refuse(exchange, refusal, true)
    return refusal !== undefined
  }

  #settle(request: PixyRequest, work: Promise<void>): void {
    work.catch((error: unknown) => this.#failed(request, error))
  }

  #failed(request: PixyRequest, error: unknown): void {
    const { answers, broken } = this.#parts
    const { exchange, gateway } = request
    if (error instanceof ParameterError) answers.error(exchange, 400, error.message)
    else if (error instanceof GoJsonError) {
      answers.error(exchange, 400, `Failed to parse the request: err=(${error.message})`)
    } else if (!isFailure(error)) broken(request, error)
    else if (isConsumedByOthers(error)) answers.error(exchange, 409, CONSUMED)
    else answers.failure(exchange, error, gateway.isReady)
  }
}

const isFailure = (error: unknown): error is CastellanError & AnyFailure =>
  error instanceof Error && typeof (error as { code?: unknown }).code === 'string'

const hasUnknown = (outcomes: ReadonlyMap<number, CommitOutcome>): boolean =>
  [...outcomes.values()].includes('unknownTopicOrPartition')

/** A group's place in a partition, as Kafka-Pixy writes it. */
function toJson(place: GroupOffset): Json {
  const { partition, earliest: begin, latest: end, committed, acknowledged } = place
  const { offset = NONE, metadata } = committed ?? {}
  const sparse = acknowledged.map(({ from, to }) => `${from - offset}-${to - offset}`).join()
  return {
    partition,
    begin,
    end,
    count: end - begin,
    offset,
    lag: lagOf(place),
    metadata: metadata || undefined,
    sparse_acks: sparse || undefined
  }
}
