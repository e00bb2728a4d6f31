import { PERSISTED_HEADER } from '../../gateway/persisted.js'
import type { ClaimedKey } from '../../producer/keys/claimed-key.js'
import { AtEndOfTick, endWithLines, noteFailure } from '../exchange/answers.js'
import type { Exchange } from '../exchange/exchange.js'
import type { WrittenAnswer } from '../exchange/kept-response.js'
import { problemAnswer } from '../exchange/modern-answers.js'
import type { KeyOwners } from './key-owners.js'
import type { KeyResult, Refusal } from './key-refusals.js'
import type { RefusedByApi } from './refused-records.js'

/** Where a key is known: `gateway` or `deployment`. */
export const REACH_HEADER = 'x-castellan-idempotency'
/** An answer that was given before. */
export const REPLAYED_HEADER = 'idempotent-replayed'
const REQUEST_ID = 'x-request-id'
/** Headers that belong to one answer, not to the request. */
const OF_ONE_ANSWER: ReadonlySet<string> = new Set([REQUEST_ID, 'connection', 'content-length', 'date'])

/** What an answer has that was given before, or behind which the connection ends. */
interface Further {
  readonly headers: WrittenAnswer['headers']
  readonly lines: string
}
export const CLOSED: Further = { headers: [['connection', 'close']], lines: '' }
export const REPLAYED: Further = { headers: [[REPLAYED_HEADER, 'true']], lines: `${REPLAYED_HEADER}: true\r\n` }
export const NONE: Further = { headers: [], lines: '' }

/** Answers to requests with keys, as they leave. */
export class KeyAnswers {
  readonly #reach: () => KeyOwners['reach']
  readonly #count: (result: KeyResult) => void
  readonly #soon = new AtEndOfTick()

  /** @param count called with what happens to a request that is refused */
  constructor(reach: () => KeyOwners['reach'], count: (result: KeyResult) => void) {
    this.#reach = reach
    this.#count = count
  }

  /** An answer between two reads has to wake its reader, see `AnswerTemplate.sendSoon`. */
  writeSoon(exchange: Exchange, answer: WrittenAnswer, further: Further): void {
    this.#soon.add(exchange.response, () => this.write(exchange, answer, further))
  }

  write({ response, requestId }: Exchange, answer: WrittenAnswer, further: Further): void {
    if (response.headersSent || response.destroyed) return
    const reach = this.#reach()
    const lines = `${further.lines}${REACH_HEADER}: ${reach}\r\n${REQUEST_ID}: ${requestId}\r\n`
    if (further !== CLOSED && endWithLines(response, answer, lines)) return
    const { status, headers, body } = answer
    const all: Record<string, string | string[]> = {}
    for (const [name, value] of [...headers, ...further.headers]) {
      const before = all[name]
      all[name] = before === undefined ? value : [before, value].flat()
    }
    const own = { [REACH_HEADER]: reach, [REQUEST_ID]: requestId, 'content-length': String(body.length) }
    response.writeHead(status, { ...all, ...own })
    response.end(body)
  }

  /** @param records counts those that are refused */
  refuse(exchange: Exchange, refusal: Refusal, records: RefusedByApi | undefined): void {
    const { result, status, code, detail, persisted = 'no', isRead = true, retryAfterSeconds = '1' } = refusal
    this.#count(result)
    if (persisted === 'no') records?.add({ code, message: detail })
    const retriable = status === 409 || status === 429 || status === 503
    const { type, body } = problemAnswer(status, detail, persisted, { code, retriable })
    noteFailure(exchange.response, code)
    const headers = Object.entries({
      [PERSISTED_HEADER]: persisted,
      'content-type': type,
      ...(retriable && { 'retry-after': retryAfterSeconds }),
      ...refusal.headers
    })
    this.write(exchange, { status, headers, body: Buffer.from(body) }, isRead ? NONE : CLOSED)
  }
}

/**
 * The answer of an API without what belongs to one attempt only, and what its headers say.
 *
 * @param key says what it may tell of its records
 */
export function toOwn(
  answer: WrittenAnswer,
  key: Pick<ClaimedKey, 'told'>
): { readonly own: WrittenAnswer; readonly persisted: string; readonly further: Further } {
  const { status, headers, body } = answer
  const said = answer.persisted ?? headers.find(([name]) => name === PERSISTED_HEADER)?.[1] ?? 'unknown'
  const persisted = key.told(said)
  const isOwn = answer.persisted !== undefined || !headers.some(([name]) => OF_ONE_ANSWER.has(name.toLowerCase()))
  if (isOwn && persisted === said) return { own: answer, persisted, further: NONE }
  const own = headers
    .filter(([name]) => !OF_ONE_ANSWER.has(name.toLowerCase()))
    .map(pair => (pair[0] === PERSISTED_HEADER ? ([PERSISTED_HEADER, persisted] as const) : pair))
  const further = headers.some(([name]) => name.toLowerCase() === 'connection') ? CLOSED : NONE
  return { own: { status, headers: own, body }, persisted, further }
}
