import type { CastellanError } from '../../core/errors.js'
import type { OffsetAndMetadata } from '../../core/model.js'
import type { CommitOutcome, GroupOffset } from '../../gateway/gateway.js'
import { type AnyFailure, CONSUMED, isConsumedByOthers } from './failure-texts.js'
import { checkJson, GoJsonError, goJson, type Json } from './go-json.js'
import { lagOf, NO_OFFSET, UNKNOWN_TOPIC } from './groups.js'
import { groupOf, merged, ParameterError } from './parameters.js'
import type { PixyRequest, ReadBody, RouteParts } from './pixy-request.js'
import type { KafkaPixySettings } from './settings.js'

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
    const offsets = await gateway.groups.offsets(groupId, topic, this.#timeoutMs)
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
    const outcomes = isPossible ? await gateway.groups.commit(groupId, topic, changes, this.#timeoutMs) : undefined
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
  const { offset = NO_OFFSET, metadata } = committed ?? {}
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

const LIST_TYPE = '[]httpsrv.partitionInfo'
const ITEM_TYPE = 'httpsrv.partitionInfo'

/** Members of an item, with their types in Go. Only three of them count. */
const MEMBERS: ReadonlyMap<string, 'int32' | 'int64' | 'string'> = new Map([
  ['partition', 'int32'],
  ['begin', 'int64'],
  ['end', 'int64'],
  ['count', 'int64'],
  ['offset', 'int64'],
  ['lag', 'int64'],
  ['metadata', 'string'],
  ['sparse_acks', 'string']
])

/**
 * Offsets to be set, by partition. A missing number is 0, and names of members may be in upper or lower case.
 *
 *   [{"partition": 1, "offset": -2}]   =>   1: -2
 *
 * @throws GoJsonError in the words of the original
 */
export function offsetChangesOf(body: Buffer): ReadonlyMap<number, OffsetAndMetadata> {
  checkJson(body.toString('latin1'))
  const list: unknown = JSON.parse(body.toString())
  if (list === null) return new Map()
  if (!Array.isArray(list)) throw mismatch(list, `Go value of type ${LIST_TYPE}`)
  return new Map(list.map(changeOf))
}

function changeOf(item: unknown): [partition: number, OffsetAndMetadata] {
  if (item !== null && (typeof item !== 'object' || Array.isArray(item))) {
    throw mismatch(item, `Go value of type ${ITEM_TYPE}`)
  }
  const found = new Map<string, unknown>()
  for (const [name, value] of Object.entries(item ?? {})) {
    const member = name.toLowerCase()
    if (value !== null) found.set(member, checked(member, value))
  }
  const metadata = found.get('metadata') as string | undefined
  const offset = (found.get('offset') as number | undefined) ?? 0
  return [(found.get('partition') as number | undefined) ?? 0, { offset, ...(metadata && { metadata }) }]
}

function checked(member: string, value: unknown): unknown {
  const type = MEMBERS.get(member)
  if (type === undefined || (type === 'string' ? typeof value === 'string' : isWhole(value, type))) return value
  throw mismatch(value, `Go struct field partitionInfo.${member} of type ${type}`, type !== 'string')
}

const isWhole = (value: unknown, type: 'int32' | 'int64'): boolean =>
  Number.isSafeInteger(value) && (type === 'int64' || Math.trunc(value as number) === ((value as number) | 0))

/** @param isForNumber Go names the number that does not fit, if a number is expected */
const mismatch = (value: unknown, type: string, isForNumber = false): GoJsonError =>
  new GoJsonError(
    `json: cannot unmarshal ${kindOf(value)}${isForNumber && typeof value === 'number' ? ` ${value}` : ''} into ${type}`
  )

function kindOf(value: unknown): string {
  if (typeof value === 'boolean') return 'bool'
  return Array.isArray(value) ? 'array' : typeof value
}
