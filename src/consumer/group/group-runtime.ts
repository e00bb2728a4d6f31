import type { ActorRef, ActorSystem, Requester } from '../../core/actor/actor.js'
import { withFields } from '../../core/log-fields.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import { type Logger, type MonotonicClock, topicPartitionKey } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import type { FetchData, FetchDataResult, RouterMessage } from '../../router/messages/operations.js'
import type { AskRouter } from '../partition/ask.js'

export interface Timer {
  cancel(): void
}

/**
 * The Router, the clock and the log for the parts of a group. All callbacks run in ticks of the group's actor. So the
 * state of a group changes only there, and a bug in a callback ends only this group.
 */
export interface GroupRuntime {
  readonly groupId: string
  readonly ask: AskRouter
  after(delayMs: number, run: () => void): Timer
  /** Calls back once, when one of the topics has more partitions than `counts` says. */
  watchTopics(counts: ReadonlyMap<string, number>, onChanged: () => void): Timer
  readonly clock: MonotonicClock
  /** The log; each line names the group. */
  readonly log: Logger
  readonly metrics: MetricsLogger
}

/**
 * The runtime of a part of a group that may be stopped. After that it calls back no more, and its timers are cancelled: a
 * pause of half a minute would keep the process alive.
 */
export const stoppable = (runtime: GroupRuntime): StoppableRuntime => new StoppableRuntime(runtime)

class StoppableRuntime implements GroupRuntime {
  readonly groupId: string
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly watchTopics: GroupRuntime['watchTopics']
  readonly #runtime: GroupRuntime
  readonly #timers = new Set<Timer>()
  #isStopped = false

  constructor(runtime: GroupRuntime) {
    this.groupId = runtime.groupId
    this.clock = runtime.clock
    this.log = runtime.log
    this.metrics = runtime.metrics
    this.watchTopics = (counts, onChanged) => runtime.watchTopics(counts, onChanged)
    this.#runtime = runtime
  }

  readonly ask: GroupRuntime['ask'] = (kind, request, onResult) => {
    if (this.#isStopped) return
    this.#runtime.ask(kind, request, result => {
      if (!this.#isStopped) onResult(result)
    })
  }

  readonly after = (delayMs: number, run: () => void): Timer => {
    const started = this.#runtime.after(delayMs, () => {
      this.#timers.delete(timer)
      run()
    })
    const cancel = (): void => {
      this.#timers.delete(timer)
      started.cancel()
    }
    const timer = { cancel }
    this.#timers.add(timer)
    return timer
  }

  stop(): void {
    this.#isStopped = true
    for (const timer of this.#timers) timer.cancel()
  }
}

/** The parts that the groups of a process share. */
export interface SharedRuntime {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  readonly reads: SharedReads
  readonly topics: { watch: GroupRuntime['watchTopics'] }
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
}

/** At most this many messages are handled in one tick, so that other actors get their turn. */
const MAX_PER_TICK = 1_000

interface GroupLogic<Message> {
  receive(message: Message): void
  /** Called after a bug in a tick, with its messages and those that were not handled. The actor has ended. */
  onCrash(error: Error, unhandled: readonly Message[]): void
}

/** A message, or the call of a callback. */
type GroupTask<Message> = { readonly message: Message } | { readonly run: () => void }

/**
 * The actor of a group, and its runtime: answers and timers call back in its ticks.
 *
 * An actor handles one message per tick, so all messages that come before the next tick are passed to the actor as one
 * message. Otherwise a heartbeat could wait for thousands of answers of a group with thousands of partitions.
 */
export class GroupActor<Message> implements GroupRuntime {
  readonly groupId: string
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly #shared: SharedRuntime
  readonly #actor: ActorRef<GroupTask<Message>[]>
  /** The newest batch. The next message is added to it, unless the actor has begun to handle it. */
  #open: GroupTask<Message>[] | undefined
  /** Batches that the actor has not begun to handle, in order. */
  #unhandled: GroupTask<Message>[][] = []

  constructor(name: string, groupId: string, shared: SharedRuntime, logic: GroupLogic<Message>) {
    this.groupId = groupId
    this.clock = shared.clock
    this.log = logOfGroup(shared.log, groupId)
    this.metrics = shared.metrics
    this.#shared = shared
    this.#actor = shared.system.spawnOwner<GroupTask<Message>[]>(name, {
      receive: batch => {
        if (batch === this.#open) this.#open = undefined
        if (batch === this.#unhandled[0]) this.#unhandled.shift()
        for (const entry of batch) {
          if ('run' in entry) entry.run()
          else logic.receive(entry.message)
        }
      },
      onCrash: (error, batch, unhandled) => logic.onCrash(error, messagesIn([batch, ...unhandled]))
    })
  }

  tell(message: Message): void {
    this.#add({ message })
  }

  /** Calls back in a later tick. */
  readonly tick = (run: () => void): void => this.#add({ run })

  /** Stops the actor. Returns the messages that it has not handled. */
  stop(): readonly Message[] {
    this.#actor.stop()
    return messagesIn(this.#unhandled.splice(0))
  }

  // These are properties instead of methods, because parts of a group take single functions of the runtime.
  readonly ask: GroupRuntime['ask'] = (kind, request, onResult) => {
    const requester = { reply: (result: unknown): void => this.tick(() => onResult(result as never)) }
    const message = { type: kind, ...request, requester } as RouterMessage
    if (message.type === 'fetchData') this.#shared.reads.read(message)
    else this.#shared.router.tell(message)
  }

  readonly after = (delayMs: number, run: () => void): Timer =>
    this.#unlessCancelled(run, due => {
      const timer = setTimeout(due, delayMs)
      return { cancel: () => clearTimeout(timer) }
    })

  readonly watchTopics: GroupRuntime['watchTopics'] = (counts, onChanged) =>
    this.#unlessCancelled(onChanged, due => this.#shared.topics.watch(counts, due))

  #unlessCancelled(run: () => void, start: (due: () => void) => Timer): Timer {
    let isCancelled = false
    const unlessCancelled = (): void => {
      if (!isCancelled) run()
    }
    const started = start(() => this.tick(unlessCancelled))
    return {
      cancel: () => {
        isCancelled = true
        started.cancel()
      }
    }
  }

  #add(entry: GroupTask<Message>): void {
    if (this.#open && this.#open.length < MAX_PER_TICK) {
      this.#open.push(entry)
      return
    }
    this.#open = [entry]
    this.#unhandled.push(this.#open)
    this.#actor.tell(this.#open)
  }
}

const messagesIn = <Message>(batches: readonly (readonly GroupTask<Message>[])[]): readonly Message[] =>
  batches.flat().flatMap(entry => ('message' in entry ? [entry.message] : []))

/** A log whose lines name the group. Names come from clients and have up to 32,767 characters, so they are cut. */
const logOfGroup = (log: Logger, groupId: string): Logger => withFields(log, { groupId: shortened(groupId) })

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
