import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import { type FetchDataOptions, FetchIntake } from '../processors/fetch-data.js'
import type { ProcessorContext, TopicLookUp } from '../processors/processor-context.js'
import { ProduceIntake, type ProduceIntakeOptions } from '../processors/produce-admission.js'
import type { BrokerTags, Intake } from '../processors/queue-processor.js'
import type { ReadCache } from '../processors/read-cache.js'
import type { OpenRequests } from '../requests/open-requests.js'
import type { Role } from '../requests/operation.js'
import type { ConnectionPlan } from './dispatcher.js'
import { GroupIntake, type GroupIntakeOptions } from './group-admission.js'
import { SharedIntake } from './shared-admission.js'

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
  readonly group: GroupIntakeOptions
  readonly produce: ProduceIntakeOptions
  /** Which of these missing topics brokers may be asked to create now. */
  readonly admitCreations: (topics: readonly string[]) => readonly string[]
  readonly reports: { metadata(response: MetadataResponse, call: TopicLookUp): void }
}

/** What takes the requests of a dispatcher of this role, and its connections with the processors that share each. */
export function planDispatcher(
  role: Role,
  options: DispatcherPlanOptions
): { readonly intake: Intake; readonly connections: readonly ConnectionPlan[] } {
  const { fetch, group, produce, readCache, metrics, openRequests, callTimeoutMs, tags } = options
  switch (role) {
    case 'control':
    case 'member': {
      const intake = new SharedIntake(role, contextOf(options))
      return { intake, connections: [{ purpose: role, processors: intake.processors }] }
    }
    case 'group': {
      const intake = new GroupIntake(contextOf(options), group)
      const purposeOf = (at: number): string => (at === 0 ? 'group' : `group-${at + 1}`)
      return {
        intake,
        connections: intake.processors.map((processors, at) => ({ purpose: purposeOf(at), processors }))
      }
    }
    case 'fetch': {
      const intake = new FetchIntake(readCache, {
        ...fetch,
        metrics,
        tags,
        now: openRequests.now,
        callTimeoutMs
      })
      return {
        intake,
        connections: [
          { purpose: 'fetch-catch-up', processors: [intake.catchUp] },
          { purpose: 'fetch-tail', processors: [intake.tail] }
        ]
      }
    }
    case 'produce': {
      const intake = new ProduceIntake(produce)
      // Delivery sends one batch per partition at a time, so calls in flight at the same time are for different partitions.
      const main = Array.from({ length: produce.connections ?? 1 }, () => ({
        purpose: 'produce',
        processors: [intake.main]
      }))
      const newTopics = { purpose: 'produce-new-topics', processors: [intake.newTopics] }
      return { intake, connections: [...main, newTopics, { purpose: 'produce-slow', processors: [intake.slow] }] }
    }
  }
}

function contextOf(options: DispatcherPlanOptions): ProcessorContext {
  const { readCache, reports } = options
  const { isolationLevel, decompression } = readCache
  return { ...options, isolationLevel, decompression, onMetadata: reports.metadata.bind(reports) }
}
