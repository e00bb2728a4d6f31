import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import { FetchAdmission, type FetchDataOptions } from '../processors/fetch-data.js'
import { operationsOf } from '../processors/operations.js'
import { ProduceAdmission, type ProduceAdmissionOptions } from '../processors/produce-admission.js'
import type {
  Admission,
  BrokerTags,
  OperationProcessor,
  ProcessorContext,
  TopicLookUp
} from '../processors/queue-processor.js'
import type { ReadCache } from '../processors/read-cache.js'
import type { OpenRequest, OpenRequests } from '../requests/open-requests.js'
import type { Role } from '../requests/operation.js'
import type { ConnectionPlan } from './dispatcher.js'
import { GroupAdmission, type GroupAdmissionOptions } from './group-admission.js'

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
  readonly reports: { metadata(response: MetadataResponse, call: TopicLookUp): void }
}

/** Plans a dispatcher of this role: its admission, its connections, and the processors that share each connection. */
export function planDispatcher(
  role: Role,
  options: DispatcherPlanOptions
): { readonly admission: Admission; readonly connections: readonly ConnectionPlan[] } {
  const { fetch, group, produce, readCache, metrics, openRequests, callTimeoutMs, tags } = options
  switch (role) {
    case 'control':
    case 'admin':
    case 'member': {
      const admission = new SharedAdmission(role, contextOf(options))
      return { admission, connections: [{ purpose: role, processors: admission.processors }] }
    }
    case 'group': {
      const admission = new GroupAdmission(contextOf(options), group)
      const purposeOf = (at: number): string => (at === 0 ? 'group' : `group-${at + 1}`)
      return {
        admission,
        connections: admission.processors.map((processors, at) => ({ purpose: purposeOf(at), processors }))
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

/** The operations of one role. They take turns on one connection. */
class SharedAdmission implements Admission {
  readonly processors: readonly OperationProcessor[]
  readonly #processorOf: ReadonlyMap<string, OperationProcessor>

  constructor(role: 'control' | 'admin' | 'member', context: ProcessorContext) {
    const entries = operationsOf(role).map(
      ({ kind, createProcessor }) => [kind, createProcessor(context) as OperationProcessor] as const
    )
    this.#processorOf = new Map(entries)
    this.processors = entries.map(([, processor]) => processor)
  }

  answerFromCache(): boolean {
    return false
  }

  addToQueue(request: OpenRequest): void {
    this.#processorOf.get(request.kind)!.addToQueue(request)
  }

  drain(): OpenRequest[] {
    return this.processors.flatMap(processor => processor.drain())
  }
}
