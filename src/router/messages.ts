import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { BrokerAddress } from '../model.js'
import type { RouterMessage } from '../operations.js'
import type { AnyAccepted, FindCoordinatorResult } from '../processors/accepted.js'
import type { FetchTopicMetadataCall } from '../processors/fetch-topic-metadata.js'
import type { Returned } from '../processors/queue-processor.js'
import type { MetadataResponse } from '../wire/broker-client.js'
import type { ParkingPlace } from './parking.js'
import type { RefreshPlan } from './refresh-schedule.js'

/** News for the Router from below. Rare: answers do not come this way. */
export type RouterNotice =
  | {
      readonly type: 'metadataAnswered'
      readonly plan: RefreshPlan
      readonly response: MetadataResponse
      readonly askedAt: number
      readonly address: BrokerAddress
    }
  | { readonly type: 'metadataFailed'; readonly plan: RefreshPlan; readonly error: Error }
  /** A user asked for metadata; the tables profit. */
  | {
      readonly type: 'metadataSeen'
      readonly response: MetadataResponse
      readonly call: FetchTopicMetadataCall
    }
  | { readonly type: 'returned'; readonly proxy: BrokerProxy; readonly groups: readonly Returned[] }
  /** The proxy tells this life of the broker from the one before. */
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
  /** What waits there may go on. */
  | { readonly type: 'wake'; readonly place: ParkingPlace }
  /** A broker that was left alone after a failure has answered. */
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

/** Told by a user, not by a room of ours. */
export const isFromOutside = (message: RouterMailbox): message is RouterMessage => !Object.hasOwn(notices, message.type)
