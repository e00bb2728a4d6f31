import type { BrokerAddress } from '../../core/model.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { FindCoordinatorResult, RouterMessage } from '../messages/operations.js'
import type { TopicLookUp } from '../processors/processor-context.js'
import type { Returned } from '../processors/queue-processor.js'
import type { AnyAccepted } from '../requests/accepted.js'
import type { RefreshPlan } from './refresh-schedule.js'
import type { WaitingPlace } from './request-queues.js'

/** What dispatchers, timers and the refresher tell the Router. Rare, because answers do not pass through the Router. */
export type RouterNotice =
  | {
      readonly type: 'metadataAnswered'
      readonly plan: RefreshPlan
      readonly response: MetadataResponse
      readonly askedAt: number
      readonly address: BrokerAddress
    }
  | { readonly type: 'metadataFailed'; readonly plan: RefreshPlan; readonly error: Error }
  /** Metadata that a user asked for; the routing tables take it in as well. */
  | {
      readonly type: 'metadataSeen'
      readonly response: MetadataResponse
      readonly call: TopicLookUp
    }
  | { readonly type: 'returned'; readonly proxy: BrokerProxy; readonly groups: readonly Returned[] }
  /** The proxy tells which life of the broker this is about: a broker that comes back has another proxy. */
  | {
      readonly type: 'unreachable'
      readonly proxy: BrokerProxy
      readonly error: Error
      readonly requests: readonly AnyAccepted[]
    }
  | {
      readonly type: 'crashed'
      readonly proxy: BrokerProxy
      readonly error: Error
      readonly requests: readonly AnyAccepted[]
    }
  | { readonly type: 'coordinatorFound'; readonly groupId: string; readonly result: FindCoordinatorResult }
  | { readonly type: 'searchCoordinator'; readonly groupId: string }
  /** Requests that wait there may be routed again. */
  | { readonly type: 'wake'; readonly place: WaitingPlace }
  /** A broker that was not asked for a while after a failure has answered. */
  | { readonly type: 'brokerIsBack'; readonly nodeId: number }
  | { readonly type: 'refreshDue' }
  | { readonly type: 'maintain' }
  | { readonly type: 'stop'; readonly onStopped: () => void }

export type RouterMailbox = RouterMessage | RouterNotice

const notices = {
  metadataAnswered: true,
  metadataFailed: true,
  metadataSeen: true,
  returned: true,
  unreachable: true,
  crashed: true,
  coordinatorFound: true,
  searchCoordinator: true,
  wake: true,
  brokerIsBack: true,
  refreshDue: true,
  maintain: true,
  stop: true
} as const satisfies Record<RouterNotice['type'], true>

/** True for a message of a user of the Router, false for one of its own parts. */
export const isFromOutside = (message: RouterMailbox): message is RouterMessage => !Object.hasOwn(notices, message.type)
