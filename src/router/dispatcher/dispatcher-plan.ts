import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import { FetchAdmission, type FetchDataOptions } from '../processors/fetch-data.js'
import type { ProcessorContext, TopicLookUp } from '../processors/processor-context.js'
import { ProduceAdmission, type ProduceAdmissionOptions } from '../processors/produce-admission.js'
import type { Admission, BrokerTags } from '../processors/queue-processor.js'
import type { ReadCache } from '../processors/read-cache.js'
import type { OpenRequests } from '../requests/open-requests.js'
import type { Role } from '../requests/operation.js'
import type { ConnectionPlan } from './dispatcher.js'
import { GroupAdmission, type GroupAdmissionOptions } from './group-admission.js'
import { SharedAdmission } from './shared-admission.js'

/** What the dispatchers of a broker need to know of the Router. */
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
  readonly produce: ProduceAdmissionOptions
  /** Which of these missing topics brokers may be asked to create now. */
  readonly admitCreations: (topics: readonly string[]) => readonly string[]
  readonly reports: { metadata(response: MetadataResponse, call: TopicLookUp): void }
}

/** What takes the requests of a dispatcher of this role, and its connections with the processors that share each. */
export function planDispatcher(
  role: Role,
  options: DispatcherPlanOptions
): { readonly admission: Admission; readonly connections: readonly ConnectionPlan[] } {
  const { fetch, group, produce, readCache, metrics, openRequests, callTimeoutMs, tags } = options
  switch (role) {
    case 'control':
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
      const admission = new ProduceAdmission(produce)
      // Delivery sends one batch per partition at a time, so calls in flight at the same time are for different partitions.
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
