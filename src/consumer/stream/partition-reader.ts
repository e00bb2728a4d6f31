import type { ActorRef, ActorSystem, Step } from '../../core/actor/actor.js'
import type { ErrorCode } from '../../core/errors.js'
import { incarnationOfTopic, type Offset, type RecordBatch, type TopicPartition } from '../../core/model.js'
import type {
  FetchDataResult,
  FetchOffsetResult,
  FetchTopicMetadataResult,
  OffsetType,
  RouterMessage
} from '../../router/messages/operations.js'
import { asking } from '../group/group-runtime.js'
import { CheckedReads, type LogCut } from './checked-reads.js'

/** The start of reading. `last`: this many records before the end of each partition. */
export type ReadStart = OffsetType | { readonly offset: Offset } | { readonly last: number }

/**
 * A reader gives up after this many failures in a row. A reader that follows gives up only when the topic is missing.
 */
const MAX_FAILURES = 20
const RETRY_DELAY_MS = 500

type Message =
  | { readonly type: 'begin' }
  | { readonly type: 'offset'; readonly result: FetchOffsetResult }
  | { readonly type: 'data'; readonly result: FetchDataResult | LogCut }
  | { readonly type: 'topic'; readonly result: FetchTopicMetadataResult }
  /** The records were written. `more`: further records are wanted. */
  | { readonly type: 'written'; readonly more: boolean }
  | { readonly type: 'again' }

type Effect =
  | { readonly type: 'askOffset'; readonly offsetType: OffsetType }
  /** `topicId`: the id of the topic to which the offset belongs. */
  | {
      readonly type: 'askData'
      readonly offset: Offset
      readonly topicId: string | undefined
      readonly foundIn?: number
    }
  | { readonly type: 'askTopic' }
  /** Writes only records before `end`. */
  | { readonly type: 'write'; readonly batch: RecordBatch; readonly end: Offset }
  | { readonly type: 'waitThenAgain' }
  | { readonly type: 'warn'; readonly message: string }
  | { readonly type: 'finish'; readonly problem: ReadProblem | undefined }

export interface ReadProblem {
  readonly code: ErrorCode
  readonly message: string
  /** True: the same read may succeed later. */
  readonly retriable: boolean
}

/** The plan of a reader; it does not change while the topic stays the same. */
export interface ReaderPlan {
  readonly topicPartition: TopicPartition
  /** The id of the topic; `undefined`: brokers do not report topic ids. */
  readonly topicId: string | undefined
  readonly start: ReadStart
  readonly follow: boolean
}

interface State {
  readonly plan: ReaderPlan
  readonly failures: number
  /** End of the log when reading began; `undefined`: not looked up yet. */
  readonly end: Offset | undefined
  /** The leader epoch when `end` was looked up; `undefined`: brokers do not report epochs. */
  readonly endEpoch: number | undefined
  readonly earliest: Offset | undefined
  /** Next offset to read; `undefined`: not looked up yet. */
  readonly offset: Offset | undefined
  /** A leader epoch in which the offset was in the log when reading began; `undefined`: unknown. */
  readonly foundIn: number | undefined
}

export const initialState = (plan: ReaderPlan): State => ({
  plan,
  failures: 0,
  end: undefined,
  endEpoch: undefined,
  earliest: undefined,
  offset: undefined,
  foundIn: undefined
})

/** Decides the next step of a reader. A pure function. */
export function transition(state: State, message: Message): Step<State, Effect> {
  switch (message.type) {
    case 'begin':
    case 'again':
      return proceed(state)
    case 'offset':
      return onOffset(state, message.result)
    case 'data':
      return onData(state, message.result)
    case 'topic':
      return onTopic(state, message.result)
    case 'written':
      return message.more ? proceed(state) : finish(state)
  }
}

/** Asks for the end of the log, its beginning and the start offset, unless they are known, and then for records. */
function proceed(state: State): Step<State, Effect> {
  const { end, endEpoch, earliest, offset, foundIn, plan } = state
  if (end === undefined) return [state, [{ type: 'askOffset', offsetType: 'latest' }]]
  if (typeof plan.start === 'object' && 'last' in plan.start && earliest === undefined) {
    return [state, [{ type: 'askOffset', offsetType: 'earliest' }]]
  }
  if (offset === undefined) {
    const { start } = plan
    if (start === 'latest') return proceed({ ...state, offset: end, foundIn: endEpoch })
    if (start === 'earliest' || 'timestampMs' in start) return [state, [{ type: 'askOffset', offsetType: start }]]
    const first = 'offset' in start ? start.offset : Math.max(end - start.last, earliest ?? 0)
    if (!plan.follow && first > end) return onOutOfRange({ ...state, offset: first })
    return proceed({ ...state, offset: first, foundIn: first <= end ? endEpoch : undefined })
  }
  if (!plan.follow && offset >= end) return finish(state)
  return [state, [{ type: 'askData', offset, topicId: plan.topicId, ...(foundIn !== undefined && { foundIn }) }]]
}

function onOffset(state: State, result: FetchOffsetResult): Step<State, Effect> {
  if (result.type !== 'success') return onTrouble(state, result)
  const known = { ...state, failures: 0 }
  if (result.offsetType === 'latest') return proceed({ ...known, end: result.offset, endEpoch: result.leaderEpoch })
  if (typeof state.plan.start === 'object' && 'last' in state.plan.start)
    return proceed({ ...known, earliest: result.offset })
  return proceed({ ...known, offset: result.offset, foundIn: result.leaderEpoch })
}

function onData(state: State, result: FetchDataResult | LogCut): Step<State, Effect> {
  switch (result.type) {
    case 'success': {
      const { batch } = result
      const end = state.plan.follow ? Number.POSITIVE_INFINITY : state.end!
      return [{ ...state, failures: 0, offset: batch.nextOffset }, [{ type: 'write', batch, end }]]
    }
    case 'noMessages':
      if (state.plan.follow) return proceed({ ...state, failures: 0 })
      // Offsets without a record count as read.
      return result.nextOffset === undefined ? onShortLog(state) : proceed({ ...state, offset: result.nextOffset })
    case 'corruptMessage': {
      const message = `offsets ${result.offset} to ${result.nextOffset - 1} of ${nameOf(state)} are damaged and were skipped`
      return prepend({ type: 'warn', message }, proceed({ ...state, offset: result.nextOffset }))
    }
    case 'cut': {
      const message = `the end of ${nameOf(state)} was lost from offset ${result.cutAt} on; continuing there`
      return prepend({ type: 'warn', message }, proceed({ ...state, failures: 0, offset: result.cutAt }))
    }
    case 'offsetOutOfRange':
      // The name may belong to another topic by now.
      return [state, [{ type: 'askTopic' }]]
    default:
      return onTrouble(state, result)
  }
}

/**
 * Handles a log that ends before the end that was found at the start. After a change of leaders this is temporary,
 * because the new leader reports the former end when its followers have caught up. After a cut of the log it is
 * permanent.
 */
function onShortLog(state: State): Step<State, Effect> {
  const message = `${nameOf(state)} ends at offset ${state.offset} now, and ended at ${state.end} when reading began`
  return tryAgain(state, { code: 'kafka', message, retriable: true })
}

function onTopic(state: State, result: FetchTopicMetadataResult): Step<State, Effect> {
  if (result.type !== 'success') return onTrouble(state, result)
  const { topicPartition, topicId, follow } = state.plan
  const found = result.topics.get(topicPartition.topic)?.topicId
  switch (incarnationOfTopic(topicId, found)) {
    case 'same':
      return onOutOfRange({ ...state, plan: { ...state.plan, topicId: found ?? topicId } })
    case 'unclear':
      return tryAgain(state, { code: 'unknownTopic', message: `${nameOf(state)} does not exist`, retriable: true })
    case 'another': {
      if (!follow) {
        const message = `${nameOf(state)} was deleted and created anew while it was read`
        return finish(state, { code: 'kafka', message, retriable: true })
      }
      const plan = { ...state.plan, topicId: found, start: 'earliest' as const }
      const message = `${nameOf(state)} was created anew, and is read from its beginning`
      return prepend({ type: 'warn', message }, proceed({ ...state, failures: 0, offset: undefined, plan }))
    }
  }
}

/**
 * Handles an offset outside the log. Records that existed may have been deleted by retention. An offset that never
 * existed is an error of the caller.
 */
function onOutOfRange(state: State): Step<State, Effect> {
  const asked = state.offset ?? 0
  if (typeof state.plan.start === 'object' && 'offset' in state.plan.start && asked === state.plan.start.offset) {
    const message = `offset ${asked} of ${nameOf(state)} is out of range (the end is ${state.end}); read from earliest or latest instead`
    return finish(state, { code: 'invalidRequest', message, retriable: false })
  }
  const restarted = { ...state, offset: undefined, plan: { ...state.plan, start: 'earliest' as const } }
  const message = `records of ${nameOf(state)} from offset ${asked} on are gone; continuing at the earliest record`
  return prepend({ type: 'warn', message }, proceed(restarted))
}

type Trouble =
  | Pick<Extract<FetchDataResult, { type: 'failed' }>, 'type' | 'code' | 'message' | 'retriable'>
  | Pick<Extract<FetchDataResult, { type: 'timedOut' }>, 'type' | 'reason'>
  | Pick<Extract<FetchDataResult, { type: 'unknownTopicOrPartition' }>, 'type'>

const onTrouble = (state: State, result: Trouble): Step<State, Effect> =>
  tryAgain(state, toProblem(nameOf(state), result))

/** Asks again after a pause, if this may help. A reader that does not follow gives up after `MAX_FAILURES` attempts. */
function tryAgain(state: State, problem: ReadProblem): Step<State, Effect> {
  const failures = state.failures + 1
  const { follow } = state.plan
  // A topic that existed and is now missing may be created again soon. A reader that follows waits for a while for the
  // new topic.
  const isGone = problem.code === 'unknownTopic' && follow
  if (!(problem.retriable || isGone)) return finish(state, problem)
  if (failures >= MAX_FAILURES && (!follow || isGone)) return finish(state, problem)
  const waiting: Step<State, Effect> = [{ ...state, failures }, [{ type: 'waitThenAgain' }]]
  return failures > 1 ? waiting : prepend({ type: 'warn', message: `${problem.message}; trying again` }, waiting)
}

const prepend = (effect: Effect, [state, effects]: Step<State, Effect>): Step<State, Effect> => [
  state,
  [effect, ...effects]
]

function toProblem(name: string, result: Trouble): ReadProblem {
  switch (result.type) {
    case 'unknownTopicOrPartition':
      return { code: 'unknownTopic', message: `${name} does not exist`, retriable: false }
    case 'timedOut':
      return { code: 'timedOut', message: `${name}: ${result.reason ?? 'no answer in time'}`, retriable: true }
    case 'failed':
      return { code: result.code, message: `${name}: ${result.message}`, retriable: result.retriable }
  }
}

const finish = (state: State, problem?: ReadProblem): Step<State, Effect> => [state, [{ type: 'finish', problem }]]

const nameOf = ({ plan: { topicPartition } }: State): string => `${topicPartition.topic}/${topicPartition.partition}`

export interface ReaderRuntime {
  readonly router: ActorRef<RouterMessage>
  readonly requestTimeoutMs: number
  /**
   * Writes the records before `end`. Resolves when the sink can take more records, with true if more records are
   * wanted.
   */
  write(topicPartition: TopicPartition, batch: RecordBatch, end: Offset): Promise<boolean>
  warn(message: string): void
  /** When this signal is aborted, reading ends without an error. */
  readonly stopped?: AbortSignal | undefined
}

/** Runs a reader of one partition as an actor. Resolves with the problem, or with `undefined`. */
export function readPartition(
  system: ActorSystem,
  plan: ReaderPlan,
  runtime: ReaderRuntime
): Promise<ReadProblem | undefined> {
  const { topicPartition } = plan
  const ask = asking(runtime.router)
  const reads = new CheckedReads(ask, topicPartition)
  return new Promise(resolve => {
    const reader = system.spawn<State, Message, Effect>(`read-${topicPartition.topic}-${topicPartition.partition}`, {
      initial: initialState(plan),
      transition,
      run: (effect, self) => perform(effect, self),
      onCrash: error => {
        const message = `${topicPartition.topic}/${topicPartition.partition}: ${error.message}`
        resolve({ code: 'protocol', message, retriable: false })
      }
    })
    const perform = (effect: Effect, self: ActorRef<Message>): void => {
      const timeoutMs = runtime.requestTimeoutMs
      if (runtime.stopped?.aborted) {
        self.stop()
        resolve(undefined)
        return
      }
      switch (effect.type) {
        case 'askOffset':
          ask('fetchOffset', { topicPartition, offsetType: effect.offsetType, timeoutMs }, result =>
            self.tell({ type: 'offset', result })
          )
          break
        case 'askData': {
          const { offset, topicId, foundIn } = effect
          reads.read({ offset, topicId, foundIn, timeoutMs }, result => self.tell({ type: 'data', result }))
          break
        }
        case 'askTopic':
          ask('fetchTopicMetadata', { requestId: 0, topics: [topicPartition.topic], timeoutMs }, result =>
            self.tell({ type: 'topic', result })
          )
          break
        case 'write':
          runtime.write(topicPartition, effect.batch, effect.end).then(
            more => self.tell({ type: 'written', more }),
            () => self.tell({ type: 'written', more: false })
          )
          break
        case 'waitThenAgain':
          setTimeout(() => self.tell({ type: 'again' }), RETRY_DELAY_MS)
          break
        case 'warn':
          runtime.warn(effect.message)
          break
        case 'finish':
          self.stop()
          resolve(effect.problem)
          break
      }
    }
    reader.tell({ type: 'begin' })
  })
}
