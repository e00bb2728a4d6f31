import type { MetricTags } from '../../core/metrics/metrics-logger.js'
import type { Offset, TopicPartition } from '../../core/model.js'
import type { Coordinated } from '../../kafka/protocol/groups.js'
import type { AskedKind, BatchAnswer, Failure, RoutedKind, RoutedOperations } from '../messages/operations.js'
import type { TimedOut } from '../messages/request.js'
import { ownFailure } from './failures.js'

export type RequestFor<Kind extends RoutedKind> = RoutedOperations[Kind]['request']
export type ResultFor<Kind extends RoutedKind> = RoutedOperations[Kind]['result']

/** The connections of a broker for an operation. The comment of BrokerProxy lists the operations of each role. */
export type Role = 'control' | 'admin' | 'group' | 'member' | 'session' | 'fetch' | 'produce'

/** The broker that can answer a request. */
export type RoutingTarget<Request> =
  | { readonly type: 'leader'; topicPartition(request: Request): TopicPartition }
  /** `of`: what the coordinator is for. Absent: a group. */
  | { readonly type: 'coordinator'; readonly of?: Coordinated; groupId(request: Request): string }
  /** `undefined`: any broker. */
  | { readonly type: 'node'; nodeId(request: Request): number | undefined }
  | { readonly type: 'controller' }
  | { readonly type: 'any' }

/** The reason why a batch has not been sent yet. Its answer at the deadline has this reason. */
export type ReasonNotSent = Extract<BatchAnswer, { type: 'notSent' }>['reason']

export interface ChangeState {
  /** True when an attempt had no answer, so that Kafka may have made the change. */
  isInDoubt: boolean
}

/** The fields of open requests that only one operation has. */
interface States {
  fetchData: {
    /**
     * The offset to read next. It increases when there is no record at this offset (a control batch, a compacted
     * record).
     */
    position: Offset
    /** The id of the topic that the offset belongs to; `undefined`: unknown. */
    topicIdAsked: string | undefined
    /** How often the bytes at `position` were damaged. */
    damages: number
    /** The requests that wait at the end of the same log; `undefined`: this one does not wait there. */
    atEnd: { delete(answered: Pending<'fetchData'>): unknown } | undefined
    /** Limit of the bytes to ask for; `undefined`: that of the Router. It doubles where a call brings no record for it. */
    maxBytes: number | undefined
  }
  deleteTopic: ChangeState
  endTxn: ChangeState
  commitConsumerOffset: {
    /** The cluster that was connected when the commit was accepted; `undefined`: it was not known. */
    clusterId: string | undefined
    /** True when the commit was sent at least once, so that it may have been stored. */
    wasSent: boolean
    /**
     * True while a call with this commit is in flight. Until the call ends, no other commit of the group and partition
     * is sent.
     */
    inFlight: boolean
    /** Called when the commit has been answered and is not in flight. */
    whenOver: (() => void) | undefined
  }
  produceBatch: {
    /** True while a call with this batch is in flight. Until the call ends, the batch is not answered. */
    inFlight: boolean
    obstacle: ReasonNotSent
  }
}
type AllStates = States & { readonly [Kind in Exclude<RoutedKind, keyof States>]: undefined }
export type StateOf<Kind extends RoutedKind> = AllStates[Kind]

/** The parts of an open request that decide its answer at its deadline. */
export interface Pending<Kind extends RoutedKind> {
  /** An answered request may give this up for one that knows nothing of who asked. */
  request: RequestFor<Kind>
  readonly state: StateOf<Kind>
}

/**
 * Describes an operation without its processor: which broker gets a request, which requests are refused, and how a
 * request is answered when no broker answers it. Each descriptor is in the file of its processor.
 * processors/operations.ts lists all descriptors.
 */
export interface OperationDescriptor<Kind extends RoutedKind> {
  readonly kind: Kind
  readonly role: Role
  readonly target: RoutingTarget<RequestFor<Kind>>
  /**
   * Requests of the role `member` or `session` with the same value share a connection that no other request uses. LeaveGroup,
   * which has another role, closes this connection.
   */
  connection?(request: RequestFor<Kind>): string
  readonly tags: MetricTags
  /** The reason to refuse this request; `undefined`: it is accepted. May throw when the request lacks a part. */
  problemOf(request: RequestFor<Kind>): Failure | undefined
  initialState(request: RequestFor<Kind>): StateOf<Kind>
  give(request: RequestFor<Kind>, result: ResultFor<Kind>): void
  /** Called after the answer. */
  onAnswered?(state: StateOf<Kind>, answered: Pending<Kind>): void
  readonly answers: OwnAnswers<Kind>
}

/** What brokers do not have. `uncreatedTopic`: they were asked to create the topic, and may still do so. */
export type Unknown = 'topic' | 'uncreatedTopic' | 'partition'

/** The answers that do not come from Kafka. */
export interface OwnAnswers<Kind extends RoutedKind> {
  failed(request: RequestFor<Kind>, failure: Failure): ResultFor<Kind>
  /** The answer at the deadline. `undefined`: the request is answered when its call ends. */
  timedOut(pending: Pending<Kind>, reason: string | undefined): ResultFor<Kind> | undefined
  /** The answer when the topic or partition does not exist in Kafka, which refreshes have confirmed. */
  unknown(request: RequestFor<Kind>, what: Unknown): ResultFor<Kind>
}

/** The keys that all results of an operation share. Their values repeat the request. */
type EchoKeys<Kind extends AskedKind> = Exclude<keyof ResultFor<Kind>, 'type'>
type OmitEach<Union, Keys extends PropertyKey> = Union extends unknown ? Omit<Union, Keys> : never
export type Echo<Kind extends AskedKind> = Pick<ResultFor<Kind>, EchoKeys<Kind>>
/** The part of a result that does not repeat the request. */
export type Outcome<Kind extends AskedKind> = OmitEach<ResultFor<Kind>, EchoKeys<Kind>>

/** An operation whose requests name a requester, and whose results repeat fields of the request. */
export interface AskedDescriptor<Kind extends AskedKind> extends OperationDescriptor<Kind> {
  resultOf(request: RequestFor<Kind>, outcome: Outcome<Kind>): ResultFor<Kind>
}

export interface AskedParts<Kind extends AskedKind>
  extends Pick<AskedDescriptor<Kind>, 'role' | 'target' | 'connection' | 'problemOf' | 'onAnswered'> {
  /** Default: requests of the operation have no fields of their own. */
  initialState?(request: RequestFor<Kind>): StateOf<Kind>
  /** The outcome for a topic or partition that does not exist. Default: a failure. */
  readonly whenUnknown?: Outcome<Kind> | undefined
}

/** The fields of a request that its results repeat; absent if there are none. */
export type EchoPart<Kind extends AskedKind> = [EchoKeys<Kind>] extends [never]
  ? { readonly echo?: never }
  : { echo(request: RequestFor<Kind>): Echo<Kind> }

const NO_SUCH_TOPIC = ownFailure('unknownTopic', 'no such topic', false)

/** Completes the parts of an operation with the answers that can be derived from them. */
export function describeOperation<Kind extends AskedKind, Parts extends AskedParts<Kind>>(
  kind: Kind,
  parts: Parts & EchoPart<Kind>
): Parts & AskedDescriptor<Kind> {
  const { echo = () => ({}) } = parts as { readonly echo?: (request: RequestFor<Kind>) => object }
  const resultOf = (request: RequestFor<Kind>, outcome: object) =>
    Object.assign(echo(request), outcome) as ResultFor<Kind>
  const whenUnknown = parts.whenUnknown ?? NO_SUCH_TOPIC
  return {
    initialState: () => undefined as StateOf<Kind>,
    ...(parts as Parts),
    kind,
    tags: { operation: kind },
    resultOf,
    give: ({ requester }, result) => (requester as { reply(result: ResultFor<Kind>): void }).reply(result),
    answers: {
      failed: (request, failure) => resultOf(request, failure),
      timedOut: ({ request }, reason) => resultOf(request, timedOut(reason)),
      unknown: request => resultOf(request, whenUnknown)
    }
  }
}

const timedOut = (reason: string | undefined): TimedOut =>
  reason === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason }
