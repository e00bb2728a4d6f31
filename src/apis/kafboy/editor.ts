import { persistedText } from '../../gateway/persisted.js'
import { originOf } from '../../http/api/request-origin.js'
import { BufferPool } from '../../http/exchange/body-collector.js'
import { sentUrlOf } from '../../http/exchange/exchange.js'
import type { Content } from './content.js'
import type { Edited, HookDesk } from './hooks/hook-desk.js'
import { type HookProduce, unpackRecords } from './hooks/hook-messages.js'
import type { Produce, Producing } from './producing.js'
import type { ProduceRequest, Replies } from './replies.js'

/** A hook may have produced records by itself, whose outcome the answer does not report. */
const UNKNOWN = persistedText(['unknown'])
const NOT_PERSISTED = persistedText(['no'])
const PENDING = persistedText(['pending'])

/** The records of a body that no hook has edited; `undefined`: the body cannot be read. */
type Unchanged = (body: Buffer) => readonly Content[] | undefined

/** Asks the hooks about requests, and does what they decide. */
export class Editor {
  readonly #desk: HookDesk
  readonly #producing: Producing
  readonly #replies: Replies
  readonly #copies = new BodyCopies()

  constructor(desk: HookDesk, producing: Producing, replies: Replies) {
    this.#desk = desk
    this.#producing = producing
    this.#replies = replies
  }

  /** Whether there is a hook that edits. */
  get edits(): boolean {
    return this.#desk.has('editJson')
  }

  /** @param body valid until the call returns */
  edit(request: ProduceRequest, body: Buffer, isJson: boolean, unchanged: Unchanged): void {
    const { topic, mode } = request
    // A copy: the body is needed again if the hook leaves it unchanged, or has to be called again.
    const kept = this.#copies.of(body)
    this.#desk.edit({ topic, mode, isJson, head: headOf(request) }, kept, edited => {
      try {
        this.#decided(request, edited, () => unchanged(kept))
      } finally {
        this.#copies.end(kept)
      }
    })
  }

  /** Calls the hook for errors, then answers 400. */
  reject(request: ProduceRequest, message: string, isRead = true): void {
    const answer = (): void => this.#replies.error(request, 400, message, isRead)
    if (this.#desk.has('onError')) this.#desk.error(message, answer)
    else answer()
  }

  #decided(request: ProduceRequest, edited: Edited, unchanged: () => readonly Content[] | undefined): void {
    switch (edited.type) {
      case 'produce': {
        const produce = toProduce(request, edited.produce, unchanged)
        if (produce === undefined) this.reject(request, 'invalid')
        else this.#producing.produce(request, produce)
        break
      }
      case 'reply':
        this.#reply(request, edited.body, edited.produce, unchanged)
        break
      case 'reject':
        this.reject(request, edited.message)
        break
      case 'threw':
        this.#replies.broken(request, UNKNOWN)
        break
      case 'timedOut':
        this.#replies.send(request, 504, '{"error":"timeout"}', UNKNOWN)
        break
      case 'overloaded':
        this.#replies.error(request, 503, 'system overload')
    }
  }

  /** An early answer does not wait for the records that the decision produces. */
  #reply(
    request: ProduceRequest,
    body: string,
    edited: HookProduce | undefined,
    unchanged: () => readonly Content[] | undefined
  ): void {
    const produce = edited && toProduce(request, { ...edited, mode: edited.mode ?? 'async' }, unchanged)
    if (produce === undefined || produce.contents.length === 0) {
      this.#replies.ok(request, body, UNKNOWN)
      return
    }
    this.#producing.inBackground(produce, refused => {
      this.#replies.ok(request, body, refused === undefined ? PENDING : NOT_PERSISTED)
    })
  }
}

/** Smaller copies come from Node's own pool. */
const LEAST_POOLED_BYTES = 16 * 1024
const POOL_BYTES = 16 * 1024 * 1024

/**
 * Copies of bodies in memory of earlier copies. Fresh memory for each large body would be collected as garbage of the gateway,
 * and each collection marks its whole heap.
 */
class BodyCopies {
  readonly #pool = new BufferPool(POOL_BYTES)

  of(body: Buffer): Buffer {
    if (body.length < LEAST_POOLED_BYTES) return Buffer.from(body)
    const copy = this.#pool.take(body.length).subarray(0, body.length)
    body.copy(copy)
    return copy
  }

  /** The copy is not used any more. */
  end(copy: Buffer): void {
    if (copy.length >= LEAST_POOLED_BYTES) this.#pool.give(Buffer.from(copy.buffer))
  }
}

function toProduce(
  request: ProduceRequest,
  { topic = request.topic, mode = request.mode, records, isKeyed }: HookProduce,
  unchanged: () => readonly Content[] | undefined
): Produce | undefined {
  const all = records === undefined ? unchanged() : unpackRecords(records)
  if (all === undefined) return undefined
  const origin = originOf(request.exchange.request)
  return { topic, mode, contents: all, isKeyed: isKeyed || all.some(({ key }) => key !== null), origin }
}

/** The head of a request, for {@link HookCall}. A header cannot contain the end of a line. */
function headOf({ exchange: { request, requestId } }: ProduceRequest): string {
  const { method, socket, rawHeaders } = request
  return [requestId, method, sentUrlOf(request), socket.remoteAddress ?? '', ...rawHeaders].join('\n')
}
