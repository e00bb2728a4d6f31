import type { IncomingMessage } from 'node:http'
import type { RecordHeader } from '../../core/model.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { positionsOf } from '../../http/api/tail.js'
import { WARNING_HEADER } from '../../http/exchange/answers.js'
import { type Exchange, sentUrlOf } from '../../http/exchange/exchange.js'
import { rangesOf } from '../../http/exchange/media-types.js'
import type { FollowOptions, NoMessage } from '../../verbs/verbs.js'
import {
  BATCH_TYPE,
  type ContentMode,
  EVENT_TYPE,
  MAX_EVENTS,
  type PlaceOfRecord,
  placesText
} from './content-types.js'
import type { EventAnswers } from './event-answers.js'
import {
  batchOutput,
  binaryOutput,
  hasTooManyHeaders,
  jsonOf,
  type Output,
  type ReadEvent,
  structuredOutput
} from './event-output.js'

/**
 * The parameters of a request. Values are bytes, because keys need not be UTF-8. Unknown parameters are ignored, since
 * senders of webhooks add their own.
 *
 *   ?key=a%FF&async=true
 */
export class Query {
  readonly #pairs: readonly (readonly [name: string, value: string])[]

  constructor(request: IncomingMessage) {
    const query = sentUrlOf(request).split('#', 1)[0]!.split('?').slice(1).join('?')
    this.#pairs = query
      .split('&')
      .filter(pair => pair !== '')
      .map(pair => {
        const [name = '', ...value] = pair.split('=')
        return [name, value.join('=')]
      })
  }

  /** @throws ApiError when it occurs twice, or cannot be decoded */
  bytes(name: string): Buffer | undefined {
    const values = this.#pairs.filter(pair => pair[0] === name)
    if (values.length > 1) throw new ApiError(400, `the parameter ${name} occurs more than once`)
    const value = values[0]?.[1].replaceAll('+', ' ')
    if (value === undefined) return undefined
    if (/%(?![\da-f]{2})/i.test(value)) {
      throw new ApiError(400, `the parameter ${name} has a % without two hexadecimal digits`)
    }
    return Buffer.from(
      value.replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
      'latin1'
    )
  }

  /** @throws ApiError */
  text(name: string): string | undefined {
    return this.bytes(name)?.toString()
  }

  /** @throws ApiError when it is none of them */
  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const text = this.text(name)
    const word = words.find(known => known === text)
    if (text !== undefined && word === undefined) {
      throw new ApiError(400, `the parameter ${name} has to be one of ${words.join(', ')}`)
    }
    return word
  }

  /** @throws ApiError when it is no whole number between the bounds */
  whole(name: string, min: number, max: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    if (/^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text)
    throw new ApiError(400, `the parameter ${name} has to be a whole number from ${min} to ${max}`)
  }
}

/**
 * The content mode of an answer with events. A client that takes neither of the types of event formats by name gets one event
 * in binary mode, or a batch when it asks for a number of events: only then is a batch solicited.
 *
 * Source: HTTP protocol binding 1.0.2, section 3.
 *
 * @param hasCount whether the client has asked for a number of events
 * @returns `undefined`: it asks for several events, and takes one
 */
export function acceptedMode(accept: string | undefined, hasCount: boolean): ContentMode | undefined {
  const named = rangesOf(accept ?? '')
    .filter(({ type, quality }) => quality > 0 && (type === EVENT_TYPE || type === BATCH_TYPE))
    .sort((one, other) => other.quality - one.quality)
  if (hasCount) return named.length === 0 || named.some(({ type }) => type === BATCH_TYPE) ? 'batch' : undefined
  if (named.length === 0) return 'binary'
  return named[0]!.type === EVENT_TYPE ? 'structured' : 'batch'
}

const DEFAULT_EVENTS = 100
/**
 * An answer with this many bytes of records gets no further ones: more would hold up the loop. Headers count with their memory.
 */
export const MAX_EVENT_BYTES = 4 * 1024 * 1024
/** Partitions that a reader without a group reads; the place to go on at names all of them. */
const MAX_PARTITIONS = 200
const MAX_WAIT_MS = 60_000

export const STOPPING = {
  type: 'failed',
  code: 'shuttingDown',
  errorCode: undefined,
  message: 'Castellan is shutting down',
  retriable: true
} as const satisfies NoMessage

export interface WantedEvents {
  readonly mode: ContentMode
  readonly count: number
  /** How long it waits for the first event; `undefined`: it does not say. */
  readonly timeoutMs: number | undefined
}

/** @throws ApiError */
export function wantedOf({ request: { headers } }: Exchange, query: Query): WantedEvents {
  const count = query.whole('count', 1, Number.MAX_SAFE_INTEGER)
  const timeoutMs = query.whole('timeout', 0, MAX_WAIT_MS)
  const mode = acceptedMode(headers.accept, count !== undefined)
  if (mode === undefined) throw new ApiError(406, 'count asks for a batch, and Accept for a single event')
  return { mode, count: mode === 'batch' ? Math.min(count ?? DEFAULT_EVENTS, MAX_EVENTS) : 1, timeoutMs }
}

/** Start of a reader without a group: `earliest` or `latest`, or the place that an earlier answer named. @throws ApiError */
export function followOptionsOf(query: Query, from: string): FollowOptions {
  const partitions = partitionsOf(query.text('partition'))
  const common = { partitions, maxPartitions: MAX_PARTITIONS, timeoutMs: LOOK_UP_TIMEOUT_MS }
  if (from === 'earliest' || from === 'latest') return { ...common, from, positions: new Map() }
  const positions = positionsOf(from)
  if (positions === undefined) {
    throw new ApiError(
      400,
      `${from === '' ? 'an empty position' : 'the position'} is neither earliest nor latest, nor has it the form 0:17,1:4`
    )
  }
  // Partitions that were added since are read from their beginning.
  return { ...common, from: 'earliest', positions }
}

function partitionsOf(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,10}(,\d{1,10})*$/.test(text)) return text.split(',').map(Number)
  throw new ApiError(400, 'the parameter partition has to be numbers with commas between them')
}

/** An event, ready to be answered, and where its record is. */
export interface FoundEvent extends PlaceOfRecord {
  readonly output: Output
}

/** Headers of a record that the answer with its event alone has. */
export type ReturnedHeaders = (headers: readonly RecordHeader[]) => Output['headers']

interface Located extends PlaceOfRecord {
  readonly headers: readonly RecordHeader[]
}

export function foundIn(
  event: ReadEvent,
  { partition, offset, headers }: Located,
  mode: ContentMode,
  returned: ReturnedHeaders
): FoundEvent {
  if (mode === 'batch') return { partition, offset, output: { type: undefined, headers: {}, body: jsonOf(event) } }
  const further = returned(headers)
  const withFurther = (output: Output): Output => ({ ...output, headers: { ...further, ...output.headers } })
  const output = withFurther(mode === 'binary' ? binaryOutput(event) : structuredOutput(event))
  const isTooLarge = mode === 'binary' && hasTooManyHeaders(output)
  return { partition, offset, output: isTooLarge ? withFurther(structuredOutput(event)) : output }
}

/** Facts that an answer tells beside the events, such as skipped records that are no events. */
export interface BesideEvents {
  readonly skipped: number
  /** Place where a reader without a group goes on. */
  readonly next?: string
  readonly warning?: string | undefined
}

/** Answers with the events that were found; none: 204, or an empty batch. */
export function answerEvents(
  answers: EventAnswers,
  exchange: Exchange,
  mode: ContentMode,
  found: readonly FoundEvent[],
  beside: BesideEvents
): void {
  const { skipped, next, warning } = beside
  const headers = {
    'cache-control': 'no-store',
    ...(found.length > 0 && { 'x-castellan-offsets': placesText(found) }),
    ...(skipped > 0 && { 'x-castellan-skipped': String(skipped) }),
    ...(next !== undefined && { 'x-castellan-next': next }),
    ...(warning !== undefined && { [WARNING_HEADER]: warning })
  }
  const output = mode === 'batch' ? batchOutput(found.map(({ output: { body } }) => body)) : found[0]?.output
  if (output === undefined) answers.noContent(exchange, { headers })
  else answers.send(exchange, 200, output.type, output.body, { headers: { ...output.headers, ...headers } })
}
