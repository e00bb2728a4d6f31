import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../../core/errors.js'
import type { RecordOutcome } from '../../core/model.js'
import { persistedText } from '../../gateway/persisted.js'
import { originOf } from '../../http/api/request-origin.js'
import { sentUrlOf } from '../../http/exchange/exchange.js'
import { type Content, parseForm } from './content.js'
import type { Ekaf } from './ekaf/ekaf.js'
import { type HookProduce, readRecords } from './hooks/decision.js'
import type { Edited, HookCalls } from './hooks/hook-calls.js'
import type { KafboyField, KafboyHttpRequest, KafboyOutcome, KafboyProducer, KafboyRequest } from './hooks/hooks.js'
import type { Produce, Producing } from './producing.js'
import { toldOf } from './record-answers.js'
import type { ProduceRequest, Replies } from './replies.js'

/** A hook may have produced records by itself, whose outcome the answer does not report. */
const UNKNOWN = persistedText(['unknown'])

/** The records of the body as it came; `undefined`: it cannot be read. */
type Unchanged = () => readonly Content[] | undefined

export interface EditorParts {
  readonly hooks: HookCalls
  readonly ekaf: Ekaf
  readonly producing: Producing
  readonly replies: Replies
}

/** Asks the hooks about requests, and does what they decide. */
export class Editor {
  readonly #parts: EditorParts
  readonly #producer: KafboyProducer

  constructor(parts: EditorParts) {
    this.#parts = parts
    this.#producer = producerOver(parts.ekaf)
  }

  /** Whether there is a hook that edits. */
  get edits(): boolean {
    return this.#parts.hooks.has('editJson')
  }

  /** @param body kept until the hook decides */
  edit(request: ProduceRequest, body: Buffer, isJson: boolean, unchanged: Unchanged): void {
    const content = isJson ? readJson(body) : readForm(body)
    if (content === undefined) {
      this.reject(request, 'invalid')
      return
    }
    const { topic, mode } = request
    const seen: KafboyRequest = { type: 'post', topic, mode, ...content, rawBody: body, req: headOf(request) }
    const { hooks, replies } = this.#parts
    hooks.edit(seen, this.#producer, edited => {
      replies.guarded(request, () => this.#decided(request, edited, unchanged))
    })
  }

  /** Calls the hook for errors, then answers 400. */
  reject(request: ProduceRequest, message: string, isRead = true, code?: ErrorCode): void {
    const { hooks, replies } = this.#parts
    hooks.error(message)
    replies.error(request, 400, message, isRead, code)
  }

  #decided(request: ProduceRequest, edited: Edited, unchanged: Unchanged): void {
    const { producing, replies } = this.#parts
    switch (edited.type) {
      case 'produce': {
        const produce = toProduce(request, edited.produce, unchanged)
        if (produce === undefined) this.reject(request, 'invalid')
        else producing.produce(request, produce)
        break
      }
      case 'reply':
        this.#reply(request, edited.body, edited.produce, unchanged)
        break
      case 'reject':
        this.reject(request, edited.message)
        break
      case 'threw':
        replies.broken(request, UNKNOWN)
        break
      case 'timedOut':
        replies.send(request, 504, '{"error":"timeout"}', UNKNOWN)
        break
      case 'overloaded':
        replies.error(request, 503, 'system overload')
    }
  }

  /** An early answer does not wait for the records that the decision produces. */
  #reply(request: ProduceRequest, body: string, edited: HookProduce | undefined, unchanged: Unchanged): void {
    const { producing, replies } = this.#parts
    const produce = edited && toProduce(request, { ...edited, mode: edited.mode ?? 'async' }, unchanged)
    if (produce === undefined || produce.contents.length === 0) replies.ok(request, body, UNKNOWN)
    else {
      producing.inBackground(produce, refused =>
        replies.ok(request, body, replies.certaintyOf(produce.contents.length, refused))
      )
    }
  }
}

function toProduce(
  request: ProduceRequest,
  { topic = request.topic, mode = request.mode, contents }: HookProduce,
  unchanged: Unchanged
): Produce | undefined {
  const all = contents ?? unchanged()
  const isKeyed = all?.some(({ key }) => key !== null) ?? false
  return all && { topic, mode, contents: all, isKeyed, origin: originOf(request.exchange.request) }
}

type BodyContent = Pick<KafboyRequest, 'body' | 'json'>

function readJson(bytes: Buffer): BodyContent | undefined {
  if (bytes.length === 0) return { body: [], json: undefined }
  if (!isUtf8(bytes)) return undefined
  try {
    const json: unknown = JSON.parse(bytes.toString())
    const isObject = typeof json === 'object' && json !== null && !Array.isArray(json)
    return { body: isObject ? Object.entries(json) : [], json }
  } catch {
    return undefined
  }
}

function readForm(bytes: Buffer): BodyContent | undefined {
  const fields = parseForm(bytes)
  if (!fields?.every(({ name, value }) => isUtf8(name) && (value === true || isUtf8(value)))) return undefined
  const body = fields.map(({ name, value }): KafboyField => [name.toString(), value === true || value.toString()])
  return { body, json: undefined }
}

/** A copy: what a hook changes must not change the request. */
function headOf({ exchange: { request, requestId } }: ProduceRequest): KafboyHttpRequest {
  const { method = '', socket, rawHeaders } = request
  const headers: Record<string, string | undefined> = Object.create(null)
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase()
    const before = headers[name]
    headers[name] = before === undefined ? rawHeaders[at + 1] : `${before}, ${rawHeaders[at + 1]}`
  }
  return { requestId, method, url: sentUrlOf(request), headers, remoteAddress: socket.remoteAddress ?? '' }
}

/** The producer that hooks are given. */
function producerOver(ekaf: Ekaf): KafboyProducer {
  const given = (topic: unknown, data: unknown) => {
    const contents = readRecords(data)
    if (typeof topic !== 'string' || contents === undefined) throw new TypeError('ekaf takes a topic and records')
    return { topic, contents }
  }
  const accept = (topic: string, data: unknown, isBatched: boolean): void => {
    const records = given(topic, data)
    if (records.contents.length > 0) ekaf.accept(records, isBatched, () => {})
  }
  return {
    async produceSync(topic, data) {
      const records = given(topic, data)
      if (records.contents.length === 0) return []
      return new Promise(resolve => {
        ekaf.produce(records, 'sync', pendingProduce => {
          void pendingProduce.outcomes().then(outcomes => resolve(outcomes.map(toKafboyOutcome)))
        })
      })
    },
    produceAsync: (topic, data) => accept(topic, data, false),
    produceAsyncBatched: (topic, data) => accept(topic, data, true),
    info: async topic => {
      if (typeof topic !== 'string') throw new TypeError('ekaf.info takes the name of a topic')
      return ekaf.info(topic)
    }
  }
}

const toKafboyOutcome = (outcome: RecordOutcome): KafboyOutcome =>
  outcome.type === 'delivered'
    ? { type: 'sent', partition: outcome.partition, offset: outcome.offset }
    : { type: 'failed', error: toldOf(outcome, true).error }
