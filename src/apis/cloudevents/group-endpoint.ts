import { sizeOfRecords } from '../../core/bytes.js'
import { Line } from '../../core/line.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Caller } from '../../http/access/access.js'
import type { ApiContext } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { admits, type Params } from '../../http/api/endpoint.js'
import { Poll } from '../../http/api/poll.js'
import { clientOf } from '../../http/exchange/client.js'
import { type Exchange, noteWait, traceOf } from '../../http/exchange/exchange.js'
import { returnedHeadersOf } from '../../http/exchange/record-headers.js'
import { addWhileShort } from '../../http/exchange/segmented-body.js'
import type { AckResult, AcquiredMessage, NoMessage, Verbs } from '../../verbs/verbs.js'
import { MAX_EVENTS, type PlaceOfRecord, placesIn, placesText } from './content-types.js'
import type { EventParts } from './event-answers.js'
import { eventIn, memoryOf } from './event-output.js'
import {
  answerEvents,
  type FoundEvent,
  foundIn,
  MAX_EVENT_BYTES,
  Query,
  type ReturnedHeaders,
  STOPPING,
  type WantedEvents,
  wantedOf
} from './read-request.js'

/** How long a request without an event so far goes on past records that are no events. */
const SKIP_MS = 1_000
const ACKS = ['auto', 'manual'] as const

/** `GET /{topic}?group=…` and `POST /{topic}/acks`. */
export class GroupEndpoint {
  readonly #parts: EventParts
  readonly #verbs: Verbs
  readonly #clock: () => number
  readonly #longPollMs: number
  readonly #records: RecordBudget
  readonly #polls = new Line<Poll>()

  constructor(parts: EventParts, { verbs, clock, longPollMs, records }: ApiContext<unknown>) {
    this.#parts = parts
    this.#verbs = verbs
    this.#clock = clock
    this.#longPollMs = longPollMs
    this.#records = records
  }

  /** @throws ApiError */
  poll(exchange: Exchange, topic: string, group: string, query: Query): void {
    const isAutoAck = (query.oneOf('ack', ACKS) ?? 'auto') === 'auto'
    const wanted = wantedOf(exchange, query)
    const { access, answers } = this.#parts
    const { groups } = this.#verbs
    const caller = access.callerOf(exchange.request)
    const startedAt = this.#clock()
    noteWait(exchange.request, wanted.timeoutMs ?? this.#longPollMs)
    const poll = new Poll(exchange, {
      records: this.#records,
      groups,
      groupId: group,
      topic,
      client: clientOf(exchange.request, caller),
      trace: traceOf(exchange.request),
      limits: { maxMessages: wanted.count, maxBytes: MAX_EVENT_BYTES },
      isAutoAck,
      timeoutMs: () =>
        wanted.timeoutMs === undefined ? undefined : Math.max(0, wanted.timeoutMs - (this.#clock() - startedAt)),
      skips: messages => this.#clock() - startedAt < SKIP_MS && areSkipped(messages, caller),
      answer: (messages, poll) => this.#answer(exchange, wanted, group, messages, poll),
      fail: (reason, { skipped }) => this.#failed(exchange, wanted, reason, skipped)
    })
    poll.place = this.#polls.add(poll)
    caller.watch('consume', { topic, group }, error => poll.endWith(() => answers.fail(exchange, error)))
  }

  /** Acknowledges events whose answers had `ack=manual`. */
  ack(exchange: Exchange, { topic = '' }: Params): void {
    const query = new Query(exchange.request)
    const group = requireGroup(query.text('group'))
    const offsets = query.text('offsets')
    if (offsets === undefined) throw new ApiError(400, 'the parameter offsets is missing')
    const places = placesIn(offsets, MAX_EVENTS)
    if (!admits(this.#parts, exchange, 'groups.ack', { topic, group })) return
    const { groups } = this.#verbs
    Promise.all(places.map(place => groups.ack(group, { topic, ...place }))).then(
      results => this.#acked(exchange, group, places, results),
      error => this.#parts.answers.fail(exchange, error)
    )
  }

  /** Answers all waiting clients that the process stops. */
  stop(): void {
    for (const poll of this.#polls.all) poll.end(STOPPING)
  }

  #answer(
    exchange: Exchange,
    { mode }: WantedEvents,
    group: string,
    messages: readonly AcquiredMessage[],
    poll: Poll
  ): void {
    const returned: ReturnedHeaders = headers => returnedHeadersOf(exchange.request, headers)
    const found: FoundEvent[] = []
    const foreign: AcquiredMessage[] = []
    let [jsonBytes, madeBytes] = [0, 0]
    const addOne = (message: AcquiredMessage): void => {
      const event = eventIn(message)
      if (event === undefined) foreign.push(message)
      else {
        const one = foundIn(event, message, mode, returned)
        jsonBytes += one.output.body.length
        madeBytes += memoryOf(one.output.body)
        found.push(one)
      }
    }
    const count = addWhileShort(messages, () => jsonBytes, addOne)
    if (count < messages.length) {
      poll.askForFewer(count)
      return
    }
    poll.leaves(madeBytes)
    // The messages have been read already, so an exceeded quota refuses the next request.
    this.#parts.access.callerOf(exchange.request).spend(messages.length, sizeOfRecords(messages))
    // A record that is no event is never offered again, whatever the client does.
    for (const { topic, partition, offset } of foreign)
      this.#verbs.groups.ack(group, { topic, partition, offset }).catch(() => undefined)
    answerEvents(this.#parts.answers, exchange, mode, found, { skipped: poll.skipped + foreign.length })
  }

  #failed(exchange: Exchange, { mode }: WantedEvents, reason: NoMessage | Error, skipped: number): void {
    const { answers } = this.#parts
    if (reason instanceof Error) answers.fail(exchange, reason)
    else if (reason.type === 'failed') answers.fail(exchange, answers.problemOf(reason))
    else if (reason.reason === undefined) answerEvents(answers, exchange, mode, [], { skipped })
    else answers.fail(exchange, new ApiError(503, reason.reason, { cause: TIMED_OUT }))
  }

  #acked(exchange: Exchange, group: string, places: readonly PlaceOfRecord[], results: readonly AckResult[]): void {
    const { answers } = this.#parts
    const failure = results.find(result => result.type === 'failed')
    const unknown = places.filter((_, at) => results[at]!.type !== 'acked')
    if (failure !== undefined) answers.fail(exchange, answers.problemOf(failure))
    else if (unknown.length === 0) answers.noContent(exchange)
    else {
      const detail = `group ${group} does not wait for the acknowledgement of ${placesText(unknown)} here: the events were offered to another client since, or by another gateway. All others are acknowledged`
      answers.fail(exchange, new ApiError(409, detail, { cause: NOT_OFFERED }))
    }
  }
}

/** Whether none of the records is an event. They are charged then: no answer will do it. */
function areSkipped(messages: readonly AcquiredMessage[], caller: Caller): boolean {
  const isForeign = messages.every(message => eventIn(message) === undefined)
  if (isForeign) caller.spend(messages.length, sizeOfRecords(messages))
  return isForeign
}

const TIMED_OUT = { code: 'timedOut', retriable: true } as const
const NOT_OFFERED = { code: 'invalidRequest', retriable: false } as const

/** @throws ApiError */
function requireGroup(group: string | undefined): string {
  if (group === undefined) throw new ApiError(400, 'the parameter group is missing')
  if (group === '') throw new ApiError(400, 'the parameter group is empty')
  return group
}
