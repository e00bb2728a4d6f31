import { sizeOfRecords } from '../../core/bytes.js'
import { OverloadedError } from '../../core/errors.js'
import { Line } from '../../core/line.js'
import { shortened } from '../../core/printable.js'
import { ANSWERS_SETTING } from '../../core/record-budget.js'
import { ApiError } from '../../http/api/api-answers.js'
import { Poll } from '../../http/api/poll.js'
import { noteFailure, warningOf } from '../../http/exchange/answers.js'
import { browserRefusalOf, clientOf } from '../../http/exchange/client.js'
import { noteWait, traceOf } from '../../http/exchange/exchange.js'
import { returnedHeadersOf } from '../../http/exchange/record-headers.js'
import { addWhileShort, SegmentedBody } from '../../http/exchange/segmented-body.js'
import { errorCodes, NO_SUCH_TOPIC } from '../../kafka/error-codes.js'
import { partsOfRecords, type RecordParts } from '../../schemas/record-json.js'
import { SchemaError } from '../../schemas/schema-error.js'
import { type AckResult, type AcquiredMessage, type NoMessage, ONE_MESSAGE } from '../../verbs/verbs.js'
import { addMessage, type MessageOptions, messageOptionsOf } from './message-json.js'
import { DISABLED, LONG_POLL_TIMEOUT, overloadedTextOf, SHUTTING_DOWN_TEXT } from './pixy-answers.js'
import {
  type AckOf,
  ackOf,
  allows,
  groupOf,
  int32,
  merged,
  numberOf,
  type PixyRequest,
  type RouteParts,
  type Values
} from './pixy-request.js'

/** Partition in the text of an acknowledgement that names none. */
const NONE_NAMED = -2
const NONE_WANTED = -1

const STOPPING: NoMessage = {
  type: 'failed',
  code: 'shuttingDown',
  errorCode: undefined,
  message: SHUTTING_DOWN_TEXT,
  retriable: true
}

/**
 * An answer with `count` gets no further message when its keys, values and headers take this much memory: more holds up
 * the event loop. For keys and values that schemas decode, this also limits the characters of their JSON.
 */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024
const MAX_ANSWER_MESSAGES = 1_000

/** The result of a look-up, whether a topic exists that clients wait for, is used for this long. */
const LOOK_UP_LASTS_MS = 10_000
const LOOK_UP_LIMIT_MS = 1_000
const MAX_LOOK_UPS = 1_000

/** `GET /topics/{topic}/messages` and `POST /topics/{topic}/acks`. */
export class ConsumeEndpoint {
  readonly #parts: RouteParts
  readonly #polls = new Line<Poll>()
  /** Whether there is a topic: Kafka is asked once in a while for all clients that wait for it. */
  readonly #lookUps = new Map<string, { verbs: PixyRequest['verbs']; since: number; isMissing: boolean }>()

  constructor(parts: RouteParts) {
    this.#parts = parts
  }

  get openPolls(): number {
    return this.#polls.all.length
  }

  /** @throws ApiError when a parameter is wrong */
  consume(request: PixyRequest): void {
    const { exchange, topic, query } = request
    const groupId = groupOf(query.values)
    const ack = ackOf(query.values, 'ackPartition', 'ackOffset')
    const count = countOf(query.values)
    const options = messageOptionsOf(query.values, this.#parts.schemas)
    if (!allows(this.#parts, request, 'groups.consume', { topic, group: groupId }, browserRefusalOf(exchange.request)))
      return
    if (this.#parts.settings.consumerDisabled) throw new ApiError(503, DISABLED)
    this.#poll(request, groupId, ack, options, count)
  }

  /** @param form parameters of the body. @throws ApiError when a parameter is wrong */
  ack(request: PixyRequest, form: Values): void {
    const { verbs, topic, query } = request
    const values = merged(form, query.values)
    const groupId = groupOf(values)
    const place = ackOf(values, 'partition', 'offset')
    if (!allows(this.#parts, request, 'groups.ack', { topic, group: groupId })) return
    if (typeof place === 'string') {
      const partition = place === 'auto' ? NONE_NAMED : NONE_WANTED
      throw new ApiError(500, notRead(groupId, topic, partition))
    }
    verbs.groups.ack(groupId, { topic, ...place }).then(
      result => this.#acked(request, groupId, place, result),
      error => this.#parts.fail(request, error)
    )
  }

  /** Answers all waiting clients that the process stops. */
  stop(): void {
    for (const poll of this.#polls.all) poll.end(STOPPING)
  }

  #poll(request: PixyRequest, groupId: string, ack: AckOf, options: MessageOptions, count: number | undefined): void {
    const { exchange, verbs, topic } = request
    // The acknowledgement precedes the request for a message. The answer does not report the outcome of the
    // acknowledgement.
    if (typeof ack !== 'string') void verbs.groups.ack(groupId, { topic, ...ack }).catch(() => undefined)
    const { access, answers, longPollMs, records } = this.#parts
    noteWait(exchange.request, longPollMs)
    const caller = access.callerOf(exchange.request)
    const poll = new Poll(exchange, {
      records,
      groups: verbs.groups,
      groupId,
      topic,
      client: clientOf(exchange.request, caller),
      trace: traceOf(exchange.request),
      limits: count === undefined ? ONE_MESSAGE : { maxMessages: count, maxBytes: MAX_ANSWER_BYTES },
      isAutoAck: ack === 'auto',
      answer: (messages, poll) => {
        if (options.schemas === undefined) this.#answer(request, poll, messages, options, count !== undefined, [])
        else this.#decode(request, poll, messages, options, count !== undefined)
      },
      fail: reason => this.#failed(request, reason)
    })
    poll.place = this.#polls.add(poll)
    caller.watch('consume', { topic, group: groupId }, error => {
      poll.endWith(() => answers.refuse(exchange, error, true))
    })
  }

  /** Answers when the messages are JSON, with as many as an answer takes. @param options with schemas */
  #decode(
    request: PixyRequest,
    poll: Poll,
    messages: readonly AcquiredMessage[],
    options: MessageOptions,
    isList: boolean
  ): void {
    const { access, answers, fail } = this.#parts
    const { exchange } = request
    const owner = clientOf(exchange.request, access.callerOf(exchange.request))
    partsOfRecords(options.schemas!, messages, { maxBytes: MAX_ANSWER_BYTES, owner })
      .then(jsons => {
        if (jsons.length > 0 && jsons.length < messages.length) poll.askForFewer(jsons.length)
        else this.#answer(request, poll, messages, options, isList, jsons)
      })
      .catch(error => {
        if (error instanceof SchemaError) {
          noteFailure(exchange.response, 'registryUnreachable')
          poll.endWithout(() => answers.error(exchange, 503, error.message))
        } else if (error instanceof OverloadedError) poll.endWithout(() => fail(request, error))
        // Without an answer the messages are released.
        else exchange.response.destroy(error)
      })
  }

  #answer(
    { exchange }: PixyRequest,
    poll: Poll,
    messages: readonly AcquiredMessage[],
    options: MessageOptions,
    isList: boolean,
    jsons: readonly RecordParts[]
  ): void {
    const { access, answers } = this.#parts
    const body = new SegmentedBody()
    const addOne = (message: AcquiredMessage, at: number): void => {
      if (isList) body.add(at === 0 ? '[\n  ' : ',\n  ')
      addMessage(body, message, options, isList ? '  ' : '', jsons[at])
    }
    const count = addWhileShort(messages, () => body.lengthSoFar, addOne)
    if (isList) body.add('\n]')
    if (count < messages.length) {
      poll.askForFewer(count)
      return
    }
    // The messages have been read already, so an exceeded quota refuses the next request.
    access.callerOf(exchange.request).spend(messages.length, sizeOfRecords(messages))
    poll.leaves(body.madeBytes)
    const headers = isList ? {} : returnedHeadersOf(exchange.request, messages[0]!.headers)
    const { text } = body
    if (text !== undefined && Object.keys(headers).length === 0) answers.ok(exchange, text)
    else answers.message(exchange, text ?? body, headers)
  }

  #failed(request: PixyRequest, reason: NoMessage | Error): void {
    const { answers } = this.#parts
    const { exchange, verbs } = request
    if (reason instanceof Error) this.#parts.fail(request, reason)
    else if (reason.type === 'timedOut') this.#timedOut(request)
    else if (reason.code === 'overloaded' && reason.setting === ANSWERS_SETTING)
      answers.error(exchange, 503, reason.message)
    else if (reason.code === 'overloaded') answers.error(exchange, 429, overloadedTextOf(reason))
    else answers.failure(exchange, reason, verbs.isReady)
  }

  /** Answers 408 now. A missing topic is named only if the last look-up said so. */
  #timedOut({ exchange, verbs, topic }: PixyRequest): void {
    const isMissing = this.#isMissing(verbs, topic)
    const headers = isMissing ? warningOf(`the topic ${shortened(topic)} does not exist`, 'unknownTopic') : {}
    this.#parts.answers.error(exchange, 408, LONG_POLL_TIMEOUT, { headers })
  }

  /** Whether Kafka has lately said that the topic does not exist. Asks Kafka if its last answer is old. */
  #isMissing(verbs: PixyRequest['verbs'], topic: string): boolean {
    const now = this.#parts.clock()
    const known = this.#lookUps.get(topic)
    const isOfCluster = known?.verbs === verbs
    if (!isOfCluster || now - known.since >= LOOK_UP_LASTS_MS) {
      const lookUp = { verbs, since: now, isMissing: isOfCluster && known.isMissing }
      if (this.#lookUps.size >= MAX_LOOK_UPS) this.#lookUps.clear()
      this.#lookUps.set(topic, lookUp)
      verbs.topics([topic], LOOK_UP_LIMIT_MS).then(
        found => void (lookUp.isMissing = NO_SUCH_TOPIC.has(found.get(topic)?.errorCode ?? errorCodes.NONE)),
        () => void (lookUp.isMissing = false)
      )
    }
    return isOfCluster && known.isMissing
  }

  #acked(
    { exchange, verbs, topic }: PixyRequest,
    groupId: string,
    { partition, offset }: Exclude<AckOf, string>,
    result: AckResult
  ): void {
    const { answers } = this.#parts
    if (result.type === 'acked') answers.ok(exchange, '{}')
    else if (result.type === 'notRead') answers.error(exchange, 500, notRead(groupId, topic, partition, result.reason))
    else if (result.type === 'notOffered') {
      answers.error(exchange, 400, `offset ${offset} of {${groupId} ${topic} ${partition}} has not been offered`)
    } else answers.failure(exchange, result, verbs.isReady)
  }
}

function countOf(values: Values): number | undefined {
  const count = numberOf(values, 'count', int32)
  if (count === undefined) return undefined
  if (count < 1) throw new ApiError(400, 'count should be at least 1')
  return Math.min(count, MAX_ANSWER_MESSAGES)
}

const notRead = (groupId: string, topic: string, partition: number, reason?: string): string =>
  `acks channel missing for {${groupId} ${topic} ${partition}}${reason === undefined ? '' : `: ${reason}`}`
