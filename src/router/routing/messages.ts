import type { BrokerAddress } from '../../core/model.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import type { Coordinated } from '../../kafka/protocol/groups.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { ResultOf, RouterMessage } from '../messages/operations.js'
import type { Returned, TopicLookUp } from '../processors/queue-processor.js'
import type { OpenRequest } from '../requests/open-requests.js'
import type { RefreshPlan } from './refresh-schedule.js'

/**
 * The place of a waiting request: `topic:orders`, `group:billing`, `node:3`, `anyNode`, or a place of its own during a
 * pause.
 */
export type WaitingPlace = string

/**
 * Messages of dispatchers, timers and the refresher to the Router. They are rare, because answers do not pass through
 * the Router.
 */
export type RouterNotice =
  | {
      readonly type: 'metadataAnswered'
      readonly plan: RefreshPlan
      readonly response: MetadataResponse
      readonly askedAt: number
      readonly address: BrokerAddress
    }
  | { readonly type: 'metadataFailed'; readonly plan: RefreshPlan; readonly error: Error }
  /** Metadata that a user requested. It is applied to the routing tables as well. */
  | {
      readonly type: 'metadataSeen'
      readonly response: MetadataResponse
      readonly call: TopicLookUp
    }
  | { readonly type: 'returned'; readonly proxy: BrokerProxy; readonly groups: readonly Returned[] }
  /** A proxy belongs to one address of the broker. A broker that has moved has another proxy. */
  | {
      readonly type: 'unreachable'
      readonly proxy: BrokerProxy
      readonly error: Error
      readonly requests: readonly OpenRequest[]
    }
  | {
      readonly type: 'crashed'
      readonly proxy: BrokerProxy
      readonly error: Error
      readonly requests: readonly OpenRequest[]
    }
  /** `groupId`: the id of the group or transaction. */
  | {
      readonly type: 'coordinatorFound'
      readonly keyType: Coordinated
      readonly groupId: string
      readonly result: ResultOf<'findCoordinator'>
    }
  | { readonly type: 'searchCoordinator'; readonly keyType: Coordinated; readonly groupId: string }
  /** The requests that wait at this place may be routed again. */
  | { readonly type: 'wake'; readonly place: WaitingPlace }
  /** A broker has answered that was in a pause after a failure. */
  | { readonly type: 'brokerIsBack'; readonly nodeId: number }
  | { readonly type: 'refreshDue' }
  | { readonly type: 'maintain' }
  | { readonly type: 'stop' }

export type NoticeOf<Type extends RouterNotice['type']> = Extract<RouterNotice, { readonly type: Type }>
export type RouterMailbox = RouterMessage | RouterNotice
