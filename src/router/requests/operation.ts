import type { MetricTags } from '../../core/metrics/metrics-logger.js'
import type { TopicPartition } from '../../core/model.js'
import type { AskedKind, BatchAnswer, Failure, RoutedKind, RoutedOperations } from '../messages/operations.js'
import type { TimedOut } from '../messages/request.js'
import { ownFailure } from './failures.js'

export type RequestFor<Kind extends RoutedKind> = RoutedOperations[Kind]['request']
export type ResultFor<Kind extends RoutedKind> = RoutedOperations[Kind]['result']

/** The connections of a broker over which an operation is asked; BrokerProxy tells what shares what. */
export type Role = 'control' | 'group' | 'member' | 'fetch' | 'produce'

/** Which broker can answer. */
export type RoutingTarget<Request> =
  | { readonly type: 'leader'; topicPartition(request: Request): TopicPartition }
  | { readonly type: 'coordinator'; groupId(request: Request): string }
  | { readonly type: 'node'; nodeId(request: Request): number }
  | { readonly type: 'any' }

/** Why a batch has not been sent yet. Its answer names this when its time is up. */
export type Obstacle = Extract<BatchAnswer, { type: 'notSent' }>['reason']

/** The parts of an accepted request that decide its answer when its time is up. */
export interface Pending<Kind extends RoutedKind> {
  readonly request: RequestFor<Kind>
  readonly inFlight: boolean
  readonly obstacle: Obstacle
}

/**
 * Describes an operation apart from its processor: which broker is asked, which requests are refused, and how requests are
 * answered when the answer does not come from Kafka. Each descriptor stands beside its processor; router/processors/operations.ts
 * lists them all.
 */
export interface OperationDescriptor<Kind extends RoutedKind> {
  readonly kind: Kind
  readonly role: Role
  readonly target: RoutingTarget<RequestFor<Kind>>
  /** Requests of the role `member` with the same value share a connection that nothing else uses. A request of another role ends it. */
  connection?(request: RequestFor<Kind>): string
  readonly tags: MetricTags
  /** Describes the setting of its deadline. Absent: there is none, because all its requests name their own `timeoutMs`. */
  readonly deadline?: string
  /** Why no broker can be asked this, if so. May throw when the request lacks a part. */
  problemOf(request: RequestFor<Kind>): Failure | undefined
  /** Hands the result to the requester. */
  give(request: RequestFor<Kind>, result: ResultFor<Kind>): void
  failed(request: RequestFor<Kind>, failure: Failure): ResultFor<Kind>
  /** `undefined`: the call in flight will answer. */
  timedOut(pending: Pending<Kind>, reason: string | undefined): ResultFor<Kind> | undefined
  /** Kafka has no such topic or partition, and refreshes have confirmed it. */
  unknown(request: RequestFor<Kind>, what: 'topic' | 'partition'): ResultFor<Kind>
}

/** The keys that all results of an operation share: they repeat the request. */
type EchoKeys<Kind extends AskedKind> = Exclude<keyof ResultFor<Kind>, 'type'>
type OmitEach<Union, Keys extends PropertyKey> = Union extends unknown ? Omit<Union, Keys> : never
/** What a result repeats of its request. */
export type Echo<Kind extends AskedKind> = Pick<ResultFor<Kind>, EchoKeys<Kind>>
/** A result without what it repeats. */
export type Outcome<Kind extends AskedKind> = OmitEach<ResultFor<Kind>, EchoKeys<Kind>>

/** An operation whose requests name a requester, and whose results begin with what they repeat of the request. */
export interface AskedDescriptor<Kind extends AskedKind> extends OperationDescriptor<Kind> {
  echo(request: RequestFor<Kind>): Echo<Kind>
}

interface AskedParts<Kind extends AskedKind>
  extends Pick<AskedDescriptor<Kind>, 'role' | 'target' | 'connection' | 'deadline' | 'echo' | 'problemOf'> {
  /** The outcome for a topic or partition that does not exist. Default: a failure. */
  readonly whenUnknown?: Outcome<Kind> | undefined
}

const NO_SUCH_TOPIC = ownFailure('unknownTopic', 'no such topic', false)

/** Completes the parts of an operation with the answers that follow from them. */
export function describeOperation<Kind extends AskedKind, Parts extends AskedParts<Kind>>(
  kind: Kind,
  parts: Parts
): Parts & AskedDescriptor<Kind> {
  const { echo } = parts
  const resultOf = (request: RequestFor<Kind>, outcome: object) =>
    ({ ...echo(request), ...outcome }) as unknown as ResultFor<Kind>
  const whenUnknown = parts.whenUnknown ?? NO_SUCH_TOPIC
  return {
    ...parts,
    kind,
    tags: { operation: kind },
    give: ({ requester }, result) => (requester as { reply(result: ResultFor<Kind>): void }).reply(result),
    failed: (request, failure) => resultOf(request, failure),
    timedOut: ({ request }, reason) => resultOf(request, timedOut(reason)),
    unknown: request => resultOf(request, whenUnknown)
  }
}

const timedOut = (reason: string | undefined): TimedOut =>
  reason === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason }
