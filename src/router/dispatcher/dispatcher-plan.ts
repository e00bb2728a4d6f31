import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import { FetchAdmission, type FetchDataOptions } from '../processors/fetch-data.js'
import type { MayGo } from '../processors/group-processor.js'
import { operationsOfRole } from '../processors/operations.js'
import { ProduceAdmission, type ProduceAdmissionOptions } from '../processors/produce-admission.js'
import type {
  BrokerTags,
  DispatcherAdmission,
  OperationProcessor,
  ProcessorContext,
  QueueProcessor,
  TopicLookUp
} from '../processors/queue-processor.js'
import type { ReadCache } from '../processors/read-cache.js'
import type { OpenRequest, OpenRequests } from '../requests/open-requests.js'
import type { Role } from '../requests/operation.js'
import type { ConnectionPlan } from './dispatcher.js'

/** The first connection, and a spare connection for slow groups. */
const LEAST_CONNECTIONS = 2

interface GroupAdmissionOptions {
  /** Connections to one broker for group calls. */
  readonly maxGroupConnections: number
  readonly slowGroupCallMs: number
}

/** A processor that makes each call for one group. */
type ProcessorOfGroup = OperationProcessor & {
  isEmptyFor(mayGo: MayGo): boolean
  nextCall(mayGo: MayGo): { readonly groupId: string } | undefined
}

/** The operations of one role. They take turns on one connection. */
class RoleAdmission implements DispatcherAdmission {
  readonly processors: readonly OperationProcessor[]
  readonly #processorOf: ReadonlyMap<string, OperationProcessor>

  constructor(role: 'control' | 'admin' | 'member' | 'session' | 'group', context: ProcessorContext) {
    const entries = operationsOfRole(role).map(
      ({ kind, createProcessor }) => [kind, createProcessor(context) as OperationProcessor] as const
    )
    this.#processorOf = new Map(entries)
    this.processors = entries.map(([, processor]) => processor)
  }

  addToQueue(request: OpenRequest): void {
    this.#processorOf.get(request.kind)!.addToQueue(request)
  }

  drain(): OpenRequest[] {
    return this.processors.flatMap(processor => processor.drain())
  }
}

/**
 * The operations of all groups that one broker coordinates. All connections share the queues. Each connection takes
 * requests of the groups that may use it.
 */
class GroupAdmission extends RoleAdmission {
  /** The processors of each connection, in the order of their turns. */
  readonly connections: readonly (readonly QueueProcessor[])[]
  #look = (): void => {}

  constructor(context: ProcessorContext, { maxGroupConnections, slowGroupCallMs }: GroupAdmissionOptions) {
    super('group', context)
    const turns = new GroupTurns(slowGroupCallMs, () => this.#look())
    const connections = Math.max(maxGroupConnections, LEAST_CONNECTIONS)
    this.connections = Array.from({ length: connections }, (_, at) =>
      this.processors.map(processor => inTurns(processor as ProcessorOfGroup, turns, at === 0))
    )
  }

  onReady(look: () => void): void {
    this.#look = look
  }

  shareOf(request: OpenRequest): string | undefined {
    return request.groupId
  }
}

/** The processor for one connection. It only takes requests of groups that may use this connection. */
function inTurns(processor: ProcessorOfGroup, turns: GroupTurns, isFirst: boolean): QueueProcessor {
  const mayGo: MayGo = Object.assign((groupId: string) => turns.mayGo(groupId, isFirst), {
    few: () => turns.few(isFirst)
  })
  const queue: QueueProcessor<{ readonly groupId: string }> = {
    name: processor.name,
    get isEmpty() {
      return processor.isEmptyFor(mayGo)
    },
    nextCall() {
      const call = processor.nextCall(mayGo)
      if (call) turns.began(call.groupId, isFirst)
      return call
    },
    send: (client, call) => processor.send(client, call),
    processResponse(call, response) {
      turns.ended(call.groupId)
      return processor.processResponse(call, response)
    },
    callFailed(call, error, sent) {
      turns.ended(call.groupId)
      return processor.callFailed(call, error, sent)
    }
  }
  return queue
}

/** Maximum number of groups that are remembered as slow; the oldest is forgotten first. */
const MAX_SLOW_GROUPS = 1_000

interface CallUnderWay {
  readonly timer: NodeJS.Timeout
  readonly isFirst: boolean
  isSlow: boolean
}

/**
 * Assigns groups to the connections for group calls to one broker, so that groups with slow calls do not delay other
 * groups.
 *
 *   first connection    groups whose last call was quick, one call after another
 *   spare connections   groups whose last call was slow; all groups while a slow call holds the first connection
 *
 * A call is slow once it has taken `slowCallMs`. A group has one call at a time, so a slow group holds one connection. The
 * caller decides how many spare connections there are. When all of them are held, slow groups wait for each other, and
 * other groups wait for the first connection.
 */
export class GroupTurns {
  readonly #slowCallMs: number
  readonly #onChange: () => void
  readonly #calls = new Map<string, CallUnderWay>()
  readonly #slow = new Set<string>()
  #isFirstHeld = false

  /** @param onChange called when calls of other groups may be sent although no call has ended */
  constructor(slowCallMs: number, onChange: () => void) {
    this.#slowCallMs = slowCallMs
    this.#onChange = onChange
  }

  /** @param isFirst whether the free connection is the first one */
  mayGo(groupId: string, isFirst: boolean): boolean {
    if (this.#calls.has(groupId)) return false
    return isFirst ? !this.#slow.has(groupId) : this.#isFirstHeld || this.#slow.has(groupId)
  }

  /** All groups that may use the connection, if they are few; `undefined`: each group has to be checked. */
  few(isFirst: boolean): ReadonlySet<string> | undefined {
    return isFirst || this.#isFirstHeld ? undefined : this.#slow
  }

  began(groupId: string, isFirst: boolean): void {
    const timer = setTimeout(() => this.#tookLong(groupId), this.#slowCallMs)
    this.#calls.set(groupId, { timer, isFirst, isSlow: false })
  }

  ended(groupId: string): void {
    const call = this.#calls.get(groupId)
    if (!call) return
    clearTimeout(call.timer)
    this.#calls.delete(groupId)
    if (call.isFirst) this.#isFirstHeld = false
    if (!call.isSlow) this.#slow.delete(groupId)
  }

  #tookLong(groupId: string): void {
    const call = this.#calls.get(groupId)!
    call.isSlow = true
    this.#remember(groupId)
    if (!call.isFirst) return
    this.#isFirstHeld = true
    this.#onChange()
  }

  #remember(groupId: string): void {
    this.#slow.delete(groupId)
    this.#slow.add(groupId)
    for (const oldest of this.#slow) {
      if (this.#slow.size <= MAX_SLOW_GROUPS) break
      this.#slow.delete(oldest)
    }
  }
}

export interface DispatcherPlanOptions {
  readonly openRequests: OpenRequests
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  readonly readCache: ReadCache
  readonly callTimeoutMs: number
  readonly fetch: Pick<
    FetchDataOptions,
    'fetchMaxWaitMs' | 'fetchBufferBytes' | 'fetchMaxBytes' | 'maxPartitionsPerCall'
  >
  readonly group: GroupAdmissionOptions
  readonly produce: Omit<ProduceAdmissionOptions, 'now'>
  /** Returns those of the missing topics that brokers may be asked to create now. */
  readonly admitCreations: (topics: readonly string[]) => readonly string[]
  /** Whether a missing topic, which may be created, still waits for that. */
  readonly waitsForCreation: (topic: string) => boolean
  readonly reports: { metadata(response: MetadataResponse, call: TopicLookUp): void }
}

/** Plans a dispatcher of this role: its admission, its connections, and the processors that share each connection. */
export function planDispatcher(
  role: Role,
  options: DispatcherPlanOptions
): { readonly admission: DispatcherAdmission; readonly connections: readonly ConnectionPlan[] } {
  const { fetch, group, produce, readCache, metrics, openRequests, callTimeoutMs, tags } = options
  switch (role) {
    case 'control':
    case 'admin':
    case 'member':
    case 'session': {
      const admission = new RoleAdmission(role, contextOf(options))
      return { admission, connections: [{ purpose: role, processors: admission.processors }] }
    }
    case 'group': {
      const admission = new GroupAdmission(contextOf(options), group)
      const purposeOf = (at: number): string => (at === 0 ? 'group' : `group-${at + 1}`)
      return {
        admission,
        connections: admission.connections.map((processors, at) => ({ purpose: purposeOf(at), processors }))
      }
    }
    case 'fetch': {
      const admission = new FetchAdmission(readCache, {
        ...fetch,
        metrics,
        tags,
        now: openRequests.now,
        callTimeoutMs
      })
      return {
        admission,
        connections: [
          { purpose: 'fetch-catch-up', processors: [admission.catchUp] },
          { purpose: 'fetch-tail', processors: [admission.tail] }
        ]
      }
    }
    case 'produce': {
      const admission = new ProduceAdmission({ ...produce, now: openRequests.now })
      // Delivery has one batch per partition in flight, so simultaneous calls are for different partitions.
      const main = Array.from({ length: produce.connections ?? 1 }, () => ({
        purpose: 'produce',
        processors: [admission.main]
      }))
      const newTopics = { purpose: 'produce-new-topics', processors: [admission.newTopics] }
      return { admission, connections: [...main, newTopics, { purpose: 'produce-slow', processors: [admission.slow] }] }
    }
  }
}

function contextOf(options: DispatcherPlanOptions): ProcessorContext {
  const { readCache, reports } = options
  const { isolationLevel, decompression } = readCache
  return { ...options, isolationLevel, decompression, onMetadata: reports.metadata.bind(reports) }
}
