import type { ActorRef, Requester } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import { type Logger, type MonotonicClock, topicPartitionKey } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import type {
  AskedKind,
  FetchData,
  FetchDataResult,
  RoutedOperations,
  RouterMessage
} from '../../router/messages/operations.js'
import type { GroupNotice } from './group-inbox.js'

export type GroupRequest<Kind extends AskedKind> = Omit<RoutedOperations[Kind]['request'], 'requester' | 'type'>

export interface Timer {
  cancel(): void
}

/**
 * The Router, the clock and the log for the parts of a group. All callbacks run in ticks of the group's actor. So the
 * state of a group changes only there, and a bug in a callback ends only this group.
 */
export interface GroupRuntime {
  readonly groupId: string
  ask<Kind extends AskedKind>(
    kind: Kind,
    request: GroupRequest<Kind>,
    onResult: (result: RoutedOperations[Kind]['result']) => void
  ): void
  after(delayMs: number, run: () => void): Timer
  /** Calls back once, when one of the topics has more partitions than `counts` says. */
  watchTopics(counts: ReadonlyMap<string, number>, onChanged: () => void): Timer
  readonly clock: MonotonicClock
  /** The log; each line names the group. */
  readonly log: Logger
  readonly metrics: MetricsLogger
}

/** Sends a request to the Router, and calls back in the tick in which the Router answers. */
export const asking =
  (router: ActorRef<RouterMessage>): GroupRuntime['ask'] =>
  (kind, request, reply) =>
    router.tell({ type: kind, ...request, requester: { reply } } as RouterMessage)

export interface SharedRuntime {
  readonly router: ActorRef<RouterMessage>
  readonly reads: SharedReads
  readonly topics: { watch: GroupRuntime['watchTopics'] }
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
}

interface Inbox {
  tell(notice: GroupNotice): void
}

/**
 * The runtime of a group that is an actor. Each waiting callback has a number. An answer or a timer sends the number to
 * the actor, which passes it to {@link resume}.
 */
export class ActorRuntime implements GroupRuntime {
  readonly groupId: string
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly #shared: SharedRuntime
  readonly #inbox: Inbox
  readonly #waiting = new Map<number, (result: unknown) => void>()
  #lastWait = 0

  constructor(groupId: string, shared: SharedRuntime, inbox: Inbox) {
    this.groupId = groupId
    this.clock = shared.clock
    this.log = logOfGroup(shared.log, groupId)
    this.metrics = shared.metrics
    this.#shared = shared
    this.#inbox = inbox
  }

  /** Runs the callback with this number, unless it was cancelled. */
  resume(wait: number, result?: unknown): void {
    const run = this.#waiting.get(wait)
    this.#waiting.delete(wait)
    run?.(result)
  }

  // These are properties instead of methods, because parts of a group take single functions of the runtime.
  readonly ask: GroupRuntime['ask'] = (kind, request, onResult) => {
    const wait = this.#wait(onResult as (result: unknown) => void)
    const requester = { reply: (result: unknown): void => this.#inbox.tell({ type: 'answered', wait, result }) }
    const message = { type: kind, ...request, requester } as RouterMessage
    if (message.type === 'fetchData') this.#shared.reads.read(message)
    else this.#shared.router.tell(message)
  }

  readonly after = (delayMs: number, run: () => void): Timer =>
    this.#waitFor(run, due => {
      const timer = setTimeout(due, delayMs)
      return { cancel: () => clearTimeout(timer) }
    })

  readonly watchTopics: GroupRuntime['watchTopics'] = (counts, onChanged) =>
    this.#waitFor(onChanged, due => this.#shared.topics.watch(counts, due))

  #wait(run: (result: unknown) => void): number {
    this.#waiting.set(++this.#lastWait, run)
    return this.#lastWait
  }

  #waitFor(run: () => void, start: (due: () => void) => Timer): Timer {
    const wait = this.#wait(run)
    const started = start(() => this.#inbox.tell({ type: 'due', wait }))
    return {
      cancel: () => {
        this.#waiting.delete(wait)
        started.cancel()
      }
    }
  }
}

/** A log whose lines name the group. Names come from clients and have up to 32,767 characters, so they are cut. */
function logOfGroup(log: Logger, groupId: string): Logger {
  const name = { groupId: shortened(groupId) }
  return {
    debug: (fields, message) => log.debug({ ...name, ...fields }, message),
    info: (fields, message) => log.info({ ...name, ...fields }, message),
    warn: (fields, message) => log.warn({ ...name, ...fields }, message),
    error: (fields, message) => log.error({ ...name, ...fields }, message)
  }
}

interface Reader extends Requester<FetchDataResult> {
  readonly isWanted: (() => boolean) | undefined
}

/**
 * Reads of all groups of a process. Groups that read the same offset share one request to the Router. So one request is
 * enough for any number of groups that wait at the end of a log.
 */
export class SharedReads {
  readonly #router: ActorRef<RouterMessage>
  readonly #waiting = new Map<string, Reader[]>()

  constructor(router: ActorRef<RouterMessage>) {
    this.#router = router
  }

  /** Number of reads in progress. */
  get size(): number {
    return this.#waiting.size
  }

  read({ requester, isWanted, ...request }: FetchData): void {
    const reader: Reader = { reply: result => requester.reply(result), isWanted }
    const key = keyOf(request)
    const others = this.#waiting.get(key)
    if (others) {
      others.push(reader)
      return
    }
    const waiting = [reader]
    this.#waiting.set(key, waiting)
    const reply = (result: FetchDataResult): void => {
      this.#waiting.delete(key)
      for (const one of waiting) one.reply(result)
    }
    const wantedByAny = (): boolean => waiting.some(one => one.isWanted?.() ?? true)
    this.#router.tell({ isWanted: wantedByAny, requester: { reply }, ...request })
  }
}

const keyOf = ({
  topicPartition: { topic, partition },
  offset,
  topicId = ''
}: Pick<FetchData, 'topicPartition' | 'offset' | 'topicId'>): string =>
  `${topicPartitionKey(topic, partition)}@${offset} ${topicId}`
