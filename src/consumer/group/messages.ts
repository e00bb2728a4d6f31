import type { Requester } from '../../core/actor/requester.js'
import type { KafkaRecord, Offset, OffsetAndMetadata } from '../../core/model.js'
import type { AckResult, SetOffsetsResult } from './consume-result.js'
import type { WaitingRequest } from './waiting-request.js'

/** What the actor of a group takes. */
export type GroupMessage =
  | { readonly type: 'consume'; readonly topic: string; readonly request: WaitingRequest }
  | {
      readonly type: 'ack'
      readonly topic: string
      readonly partition: number
      readonly offset: Offset
      readonly requester: Requester<AckResult> | undefined
    }
  /** Messages that a client has processed: offsets by partition. */
  | { readonly type: 'ackAll'; readonly topic: string; readonly offsets: ReadonlyMap<number, readonly Offset[]> }
  /** Messages that a client did not get, by partition and in order. */
  | {
      readonly type: 'releaseAll'
      readonly topic: string
      readonly records: ReadonlyMap<number, readonly KafkaRecord[]>
    }
  /** The group is to go on elsewhere: offsets by partition, with metadata as it stands. */
  | {
      readonly type: 'setOffsets'
      readonly topic: string
      readonly offsets: ReadonlyMap<number, OffsetAndMetadata>
      readonly timeoutMs: number
      readonly requester: Requester<SetOffsetsResult>
    }
  /** An answer of the Router, or a timer, for the part of the group that has asked for it. */
  | { readonly type: 'happened'; readonly run: () => void }
  /** Waits `graceMs` for acknowledgements, commits, and leaves the group. */
  | { readonly type: 'stop'; readonly graceMs: number; readonly onStopped: () => void }
