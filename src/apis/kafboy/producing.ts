import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import type { PendingProduce, ProduceOrigin } from '../../gateway/gateway.js'
import { persistedText } from '../../gateway/persisted.js'
import { firstFailureOf, noteFailure } from '../../http/exchange/answers.js'
import { knownOfAccepted, wantsModern } from '../../http/exchange/modern-answers.js'
import type { Content } from './content.js'
import type { Ekaf } from './ekaf/ekaf.js'
import { deliveredAnswer, syncAnswerOf } from './record-answers.js'
import type { ProduceRequest, Replies } from './replies.js'
import type { ProduceMode } from './routes.js'
import type { KafboySettings } from './settings.js'

const OK_BODY = '{"ok":1}'
/** The request asked for no record, so none is missing. */
const NOTHING = persistedText([])
const FULL = 'system queue full'

/** The records to produce for a request. */
export interface Produce {
  readonly topic: string
  readonly mode: ProduceMode
  /** Valid until the call returns. */
  readonly contents: readonly Content[]
  readonly isKeyed: boolean
  /** The request that brings the records. */
  readonly origin: ProduceOrigin
}

type Refused = PendingProduce['refused']

export interface ProducingParts {
  readonly ekaf: Ekaf
  readonly replies: Replies
  readonly isReady: () => boolean
  /** Answers 400, after the hook for errors has been called. */
  readonly reject: (request: ProduceRequest, message: string) => void
}

/** Produces the records of requests and answers as their mode has it. */
export class Producing {
  readonly #parts: ProducingParts
  readonly #whenFull: KafboySettings['whenFull']
  readonly #failureStatus: KafboySettings['failureStatus']

  constructor({ whenFull, failureStatus }: Pick<KafboySettings, 'whenFull' | 'failureStatus'>, parts: ProducingParts) {
    this.#whenFull = whenFull
    this.#failureStatus = failureStatus
    this.#parts = parts
  }

  produce(request: ProduceRequest, produce: Produce): void {
    if (produce.contents.length === 0) this.#answerEmpty(request, produce.mode)
    else if (produce.mode === 'sync') this.#answerDelivered(request, produce)
    else this.inBackground(produce, refused => this.#answerAccepted(request, produce.contents.length, refused))
  }

  /** Produces records that no request waits for; `accepted` gets the refusals as soon as the other records are safe. */
  inBackground({ topic, mode, contents, origin }: Produce, accepted: (refused: Refused) => void): void {
    this.#parts.ekaf.accept({ topic, contents, origin }, mode === 'batchAsync' || mode === 'batchSync', accepted)
  }

  #answerEmpty(request: ProduceRequest, mode: ProduceMode): void {
    if (mode === 'sync') this.#parts.reject(request, 'empty')
    else this.#parts.replies.ok(request, OK_BODY, NOTHING, true)
  }

  #answerAccepted(request: ProduceRequest, records: number, refused: Refused): void {
    const { replies } = this.#parts
    if (wantsModern(request.exchange.request)) {
      replies.outcomes(request, knownOfAccepted(records, refused))
      return
    }
    const certainty = replies.certaintyOf(records, refused)
    const full = this.#whenFull === 'drop' ? undefined : refused?.find(isFull)
    if (full === undefined) replies.ok(request, OK_BODY, certainty, refused === undefined)
    else {
      noteFailure(request.exchange.response, full.code)
      replies.send(request, 503, `{"error":"${FULL}"}`, certainty, { 'retry-after': '1' })
    }
  }

  #answerDelivered(request: ProduceRequest, { topic, contents, isKeyed, origin }: Produce): void {
    const { ekaf, replies, isReady } = this.#parts
    ekaf.produce({ topic, contents, origin }, 'sync', pendingProduce => {
      if (wantsModern(request.exchange.request)) {
        void pendingProduce.outcomes().then(outcomes => replies.outcomes(request, outcomes))
        return
      }
      const ended: Promise<readonly RecordOutcome[] | undefined> =
        pendingProduce.unlessDelivered?.() ?? pendingProduce.outcomes()
      void ended.then(outcomes => {
        if (outcomes === undefined) {
          const { body, persisted } = deliveredAnswer(isKeyed)
          replies.ok(request, body, persisted)
          return
        }
        replies.refused.addFailed(outcomes)
        noteFailure(request.exchange.response, firstFailureOf(outcomes)?.code)
        const { status, body, persisted } = syncAnswerOf(outcomes, isKeyed, isReady())
        if (status === 200 || this.#failureStatus === 'original') replies.ok(request, body, persisted)
        else replies.send(request, status, body, persisted, status === 503 ? { 'retry-after': '1' } : undefined)
      })
    })
  }
}

const isFull = (failure: RecordFailure | undefined): boolean =>
  failure?.code === 'overloaded' || failure?.code === 'shuttingDown' || failure?.code === 'logUnavailable'
