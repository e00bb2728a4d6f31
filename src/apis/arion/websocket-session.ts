import type { WebSocket } from 'ws'
import { type CastellanError, ForbiddenError, QuotaExceededError, UnauthenticatedError } from '../../core/errors.js'
import {
  type MonotonicClock,
  type ProduceRecord,
  type RecordFailure,
  type RecordHeader,
  type RecordOutcome,
  SECOND_MS
} from '../../core/model.js'
import type { Caller } from '../../http/access/access.js'
import type { ApiProducer } from '../../http/api/api-producer.js'
import type { UpgradedSocket, UpgradeOwner } from '../../http/exchange/other-protocols.js'
import { withOriginHeaders } from '../../verbs/produce-origin.js'
import type { PendingProduce } from '../../verbs/verbs.js'
import { sentReply } from './arion-answers.js'
import type { ArionMetrics, QueueCounts } from './arion-metrics.js'
import type { ArionSettings } from './settings.js'
import type { Destination } from './target.js'

/** Limit of unread replies; beyond it no further messages are read. */
const MAX_UNREAD_BYTES = 256 * 1024
/** Messages of one websocket, and their bytes, that wait for their reply; more are not read until some are answered. */
const MAX_MESSAGES_IN_FLIGHT = 1_000
const MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024
/** Memory that an incomplete message may keep beside twice the largest message size. */
const MAX_FRAGMENTS_BYTES = 4 * 1024 * 1024
/** Fewer bytes than this behind a message count as none, because the size of its fragments' heads is not known. */
const SLACK_BYTES = 1024
/** Head of a control frame of a client, which is masked. */
const HEAD_BYTES = 6
/** Pause before a message that was refused because a buffer was full is offered again. */
const FULL_PAUSE_MS = 50
const WAITS_FOR_KAFKA = { isSync: true }

export interface SessionParts {
  readonly producer: ApiProducer
  readonly destination: Destination
  readonly caller: Caller
  /** Headers of each record: those of the request that has opened the websocket. */
  readonly recordHeaders: readonly RecordHeader[]
  readonly settings: ArionSettings
  readonly metrics: ArionMetrics
  readonly counts: QueueCounts
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Messages that were handed on together, and their outcomes. */
interface MessageGroup {
  readonly messages: number
  readonly sizeBytes: number
  /** When the messages were handed to delivery, in monotonic milliseconds. */
  readonly startedAt: number
  /** `undefined`: not known yet. */
  outcomes: readonly RecordOutcome[] | undefined
}

/**
 * One websocket: messages come in, and each gets its reply when Kafka has it, in the order in which they came.
 *
 *   waiting    messages that came in this tick, or for which there is no capacity yet
 *   in flight  groups of messages that delivery has; the replies of the first one leave first
 *
 * While messages wait, nothing more is read: the client's own buffers fill, and the client slows down. A message that
 * fails ends the socket after the replies to those before it, because a reply of Arion can only say that a message was
 * sent.
 */
export class WebsocketSession implements UpgradeOwner {
  readonly #parts: SessionParts
  /** Groups in the order in which their messages came. */
  readonly #groups: MessageGroup[] = []
  #messagesInFlight = 0
  #bytesInFlight = 0
  #websocket: WebSocket | undefined
  #upgraded: UpgradedSocket | undefined
  #waiting: ProduceRecord[] = []
  #isScheduled = false
  #isPaused = false
  /** Bytes that are counted as held: at most those that have come and were not handed on. */
  #heldBytes = 0
  /** Memory that the websocket keeps for what is incomplete: whole chunks, of which its fragments are views. */
  #keptBytes = 0
  /** Bytes that came, less those of frames that are whole. */
  #incompleteBytes = 0
  /** The same of the current chunk, and whether a message has ended in it. */
  #wholeBytes = 0
  #hasMessageEnded = false
  #isLeaving = false
  #isEnded = false
  /** The client has sent bytes that are not a websocket frame. */
  #isBroken = false
  /** Waiting messages are not offered while this timer runs. */
  #pause: NodeJS.Timeout | undefined

  constructor(parts: SessionParts) {
    this.#parts = parts
  }

  start(websocket: WebSocket, upgraded: UpgradedSocket): void {
    this.#websocket = websocket
    this.#upgraded = upgraded
    websocket.on('message', data => this.#received(data as Buffer))
    for (const kind of ['ping', 'pong'] as const)
      websocket.on(kind, data => {
        this.#wholeBytes += data.length + HEAD_BYTES
      })
    websocket.on('close', () => this.#end())
    // The package closes with the right code by itself, and discards what comes from now on.
    websocket.on('error', () => this.#discard())
    upgraded.socket.on('drain', () => this.#handOn())
    // The first listener runs before the one of `ws`, which finds messages in the bytes; the second one runs after it.
    upgraded.socket.prependListener('data', (chunk: Buffer) => this.#came(chunk))
    upgraded.socket.on('data', (chunk: Buffer) => this.#parsed(chunk.length))
    if (this.#isLeaving) this.#closeWhenAnswered()
  }

  leave(): void {
    this.#isLeaving = true
    this.#waiting = []
    this.#pauseReading()
    this.#closeWhenAnswered()
  }

  silent(): void {
    this.#close(closeCodes.goingAway, 'idle')
  }

  /** The client is no longer allowed to continue. */
  refused(error: CastellanError): void {
    const isForGood = error instanceof UnauthenticatedError || error instanceof ForbiddenError
    this.#close(isForGood ? closeCodes.policy : closeCodes.tryAgainLater, error.message)
  }

  #discard(): void {
    this.#isBroken = true
    this.#upgraded!.release()
  }

  #came(chunk: Buffer): void {
    if (this.#isBroken) return
    this.#wholeBytes = 0
    this.#hasMessageEnded = false
    this.#hold(chunk.length)
  }

  /**
   * Counts what the package keeps of a chunk. A fragment is a view of its chunk and keeps all of it, so a byte between
   * control frames costs as much as they do.
   */
  #parsed(chunkBytes: number): void {
    // Bytes behind a message came in its chunk. The rest are heads of fragments, which the package does not report.
    const most = this.#hasMessageEnded ? chunkBytes : Number.POSITIVE_INFINITY
    const incomplete = Math.max(0, Math.min(most, this.#incompleteBytes + chunkBytes - this.#wholeBytes))
    const isWhole = incomplete < (this.#hasMessageEnded ? SLACK_BYTES : 1)
    this.#incompleteBytes = isWhole ? 0 : incomplete
    if (isWhole) this.#keptBytes = 0
    else if (this.#hasMessageEnded) this.#keptBytes = incomplete
    else if (this.#wholeBytes !== chunkBytes) this.#keptBytes += chunkBytes
    this.#holdWhatIsKept()
  }

  #hold(sizeBytes: number): void {
    const refusal = this.#upgraded!.hold(sizeBytes)
    if (refusal === undefined) this.#heldBytes += sizeBytes
    else this.#refuseBytes(closeCodes.tryAgainLater, 'too many bytes are in flight')
  }

  /** Ends without reading the client's close frame: reading it means keeping all that comes before it. */
  #refuseBytes(code: number, reason: string): void {
    this.#close(code, reason)
    this.#pauseReading()
  }

  /**
   * Releases the bytes of control frames and of messages that delivery has copied; an incomplete message stays held.
   */
  #holdWhatIsKept(): void {
    const keptBytes = this.#keptBytes
    if (this.#isBroken || this.#waiting.length > 0) return
    const isTooMuch = keptBytes > 2 * this.#parts.settings.maxMessageBytes + MAX_FRAGMENTS_BYTES
    if (isTooMuch) this.#refuseBytes(closeCodes.policy, 'too many fragments')
    if (this.#heldBytes === keptBytes && !isTooMuch) return
    this.#upgraded!.release()
    this.#heldBytes = 0
    if (keptBytes > 0 && !isTooMuch) this.#hold(keptBytes)
  }

  #received(data: Buffer): void {
    this.#wholeBytes += frameBytesOf(data.length)
    this.#hasMessageEnded = true
    if (this.#isLeaving || this.#isEnded) return
    const { topic, key } = this.#parts.destination
    this.#waiting.push({ topic, key, value: data })
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(() => {
      this.#isScheduled = false
      this.#handOn()
    })
  }

  /** Gives delivery as many messages as may be in flight. */
  #handOn(): void {
    if (this.#isLeaving) return
    while (this.#waiting.length > 0 && this.#mayHandOn) this.#produce(this.#waiting.splice(0, this.#capacity))
    if (this.#isEnded) return
    this.#holdWhatIsKept()
    if (this.#waiting.length > 0 || !this.#mayHandOn) this.#pauseReading()
    else this.#resumeReading()
  }

  /** Messages that may be added; 0 also while too many bytes are in flight. */
  get #capacity(): number {
    return this.#bytesInFlight < MAX_BYTES_IN_FLIGHT ? MAX_MESSAGES_IN_FLIGHT - this.#messagesInFlight : 0
  }

  get #mayHandOn(): boolean {
    return (
      !this.#isEnded &&
      this.#pause === undefined &&
      this.#capacity > 0 &&
      this.#websocket!.bufferedAmount < MAX_UNREAD_BYTES
    )
  }

  #produce(records: readonly ProduceRecord[]): void {
    const { producer, caller, recordHeaders } = this.#parts
    const tooMuch = caller.charge(records.length, sizeOf(records))
    if (tooMuch !== undefined) {
      // If the credentials have expired, their check ends the websocket during this pause.
      const seconds = tooMuch instanceof QuotaExceededError ? tooMuch.retryAfterSeconds : 1
      this.#offerAgain(records, seconds * SECOND_MS)
      return
    }
    const pendingProduce = producer.produce(withOriginHeaders(records, { recordHeaders }), WAITS_FOR_KAFKA)
    const refused = pendingProduce.refused?.findIndex(failure => failure !== undefined) ?? -1
    if (refused < 0) this.#follow(records, pendingProduce)
    else this.#refused(records, pendingProduce, refused)
  }

  #follow(records: readonly ProduceRecord[], pendingProduce: PendingProduce): void {
    const { metrics, counts, clock } = this.#parts
    const group = { messages: records.length, sizeBytes: sizeOf(records), startedAt: clock(), outcomes: undefined }
    this.#groups.push(group)
    this.#count(group, 1)
    counts.enqueued += records.length
    for (const { value } of records) metrics.attempted(value!.length)
    pendingProduce.outcomes().then(
      // The outcomes include messages that were not taken.
      outcomes => this.#settled(group, outcomes.slice(0, group.messages)),
      () => this.#close(closeCodes.internalError, 'internal error')
    )
  }

  /** @param first index of the first message that was not taken */
  #refused(records: readonly ProduceRecord[], pendingProduce: PendingProduce, first: number): void {
    if (first > 0) this.#follow(records.slice(0, first), pendingProduce)
    const failures = pendingProduce.refused!.slice(first)
    if (failures.includes(undefined)) {
      // A later message was taken before it: the order is lost.
      this.#close(closeCodes.tryAgainLater, 'a message was refused')
    } else if (isFull(failures[0]!)) this.#offerAgain(records.slice(first), FULL_PAUSE_MS)
    else this.#fail(failures[0]!)
  }

  /** Offers messages again that were not taken, ahead of all later ones. */
  #offerAgain(records: readonly ProduceRecord[], pauseMs: number): void {
    this.#waiting = [...records, ...this.#waiting]
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#handOn()
    }, pauseMs)
  }

  #settled(group: MessageGroup, outcomes: readonly RecordOutcome[]): void {
    const { metrics, counts, clock } = this.#parts
    const durationMs = clock() - group.startedAt
    group.outcomes = outcomes
    counts.completed += group.messages
    for (const { type } of outcomes) metrics.settled(type === 'delivered', durationMs)
    if (this.#isEnded) return
    this.#reply()
    this.#handOn()
    if (this.#isLeaving) this.#closeWhenAnswered()
  }

  /** Sends all replies whose turn it is, in one piece. */
  #reply(): void {
    const { socket } = this.#upgraded!
    socket.cork()
    while (this.#groups[0]?.outcomes !== undefined) {
      const group = this.#groups.shift()!
      this.#count(group, -1)
      this.#replyTo(group)
    }
    socket.uncork()
  }

  #replyTo({ startedAt, outcomes }: MessageGroup): void {
    const { destination, metrics, clock, now } = this.#parts
    const sentAt = now()
    for (const outcome of outcomes!) {
      if (this.#isEnded) return
      if (outcome.type === 'failed') this.#fail(outcome)
      else {
        const { partition, offset } = outcome
        this.#websocket!.send(sentReply({ partition, offset, sentAt, ...destination }))
        metrics.put('websocket', clock() - startedAt)
        metrics.websocketAnswered(true)
      }
    }
  }

  #fail(failure: RecordFailure): void {
    this.#parts.metrics.websocketAnswered(false)
    this.#parts.producer.countFailed([failure])
    this.#close(closeCodeOf(failure), failure.message)
  }

  #pauseReading(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#websocket?.pause()
  }

  #resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#websocket!.resume()
  }

  #closeWhenAnswered(): void {
    if (this.#groups.length === 0) this.#close(closeCodes.goingAway, 'the gateway is stopping')
  }

  #close(code: number, reason: string): void {
    if (this.#isEnded || this.#websocket === undefined) return
    this.#end()
    closePolitely(this.#websocket, code, reason)
    // The client's close frame has to be read.
    this.#resumeReading()
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#waiting = []
    clearTimeout(this.#pause)
    // Outcomes are not awaited any more.
    for (const group of this.#groups.splice(0)) this.#count(group, -1)
  }

  #count({ messages, sizeBytes }: MessageGroup, direction: 1 | -1): void {
    this.#messagesInFlight += direction * messages
    this.#bytesInFlight += direction * sizeBytes
    this.#parts.metrics.inFlight.value += direction * messages
  }
}

/** The size of the frame of a message that comes in one. */
const frameBytesOf = (sizeBytes: number): number =>
  HEAD_BYTES + sizeBytes + (sizeBytes < 126 ? 0 : sizeBytes < 65_536 ? 2 : 8)

const sizeOf = (records: readonly ProduceRecord[]): number =>
  records.reduce((sizeBytes, { value }) => sizeBytes + value!.length, 0)

/** Close codes of RFC 6455 and its registry. */
const closeCodes = { goingAway: 1001, policy: 1008, internalError: 1011, tryAgainLater: 1013 } as const

/** Bytes of a reason that fit into a close frame. */
const MAX_REASON_BYTES = 120
/** A client that does not answer a close frame is disconnected after this time. */
const PATIENCE_MS = 2_000

/** Whether a message was refused because a buffer was full, which is temporary. */
const isFull = ({ code }: RecordFailure): boolean => code === 'overloaded' || code === 'logUnavailable'

/** A message without a reply may or may not be in Kafka. The close code tells the client whether to try again. */
export function closeCodeOf(failure: RecordFailure): number {
  if (failure.persisted === 'pending') return closeCodes.goingAway
  return isFull(failure) ? closeCodes.tryAgainLater : closeCodes.internalError
}

export function closePolitely(websocket: WebSocket, code: number, reason: string): void {
  const text = Buffer.from(reason).subarray(0, MAX_REASON_BYTES).toString()
  // Drops a character that was cut in two.
  websocket.close(code, text.replace(/\ufffd+$/, ''))
  const cut = setTimeout(() => websocket.terminate(), PATIENCE_MS).unref()
  websocket.once('close', () => clearTimeout(cut))
}
