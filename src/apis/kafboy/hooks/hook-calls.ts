import type { ProduceMode } from '../routes.js'
import type { KafboyEvent } from './hooks.js'
import type { Packed } from './packing.js'

/** Which hooks a module defines. */
export type HookName = 'editJson' | 'onError' | 'pickPartition' | 'massageBuffer' | 'onEvent'

/** What the gateway asks of the hooks' thread; every call but an event is answered. `id` counts up and wraps after 32 bits. */
export type HookCall =
  /** Followed by its body. `head`: request id, method, URL and address, then names and values of headers, a line each. */
  | {
      readonly type: 'edit'
      readonly id: number
      readonly topic: string
      readonly mode: ProduceMode
      readonly isJson: boolean
      readonly head: string
    }
  | { readonly type: 'error'; readonly id: number; readonly message: string }
  /** Followed by key and value of each record. */
  | {
      readonly type: 'pick'
      readonly id: number
      readonly topic: string
      readonly partitionCount: number
      readonly records: number
    }
  /** Followed by key and value of each record. */
  | { readonly type: 'massage'; readonly id: number; readonly topic: string; readonly records: number }
  | { readonly type: 'event'; readonly id: number; readonly event: KafboyEvent }
  /** What a hook's own call to the producer has come to. */
  | {
      readonly type: 'outcome'
      readonly id: number
      readonly producerCall: number
      readonly outcome: unknown
    }

/** Records that a hook wants produced. */
export interface HookProduce {
  readonly topic: string | undefined
  readonly mode: ProduceMode | undefined
  /** Number of records that follow with key and value each; -1: the body as it came. */
  readonly records: number
  readonly isKeyed: boolean
}

/** What the hooks' thread answers. */
export type HookReply =
  | { readonly type: 'produce'; readonly id: number; readonly produce: HookProduce }
  /** Followed by the body of the answer, then by the records. */
  | { readonly type: 'reply'; readonly id: number; readonly produce: HookProduce | undefined }
  | { readonly type: 'reject'; readonly id: number; readonly message: string }
  | { readonly type: 'threw'; readonly id: number; readonly message: string }
  /** A call without an answer has been made. */
  | { readonly type: 'done'; readonly id: number }
  /** -1: the hook does not mind; -2: the hook refuses the record. */
  | { readonly type: 'picked'; readonly id: number; readonly partitions: readonly number[] }
  /** Followed by key and value of each record. */
  | { readonly type: 'massaged'; readonly id: number; readonly records: number }
  /** A hook has decided twice. */
  | { readonly type: 'twice'; readonly id: number }
  /** A hook produces by itself. Followed by key and value of each record. */
  | {
      readonly type: 'ekaf'
      readonly id: number
      readonly topic: string
      readonly mode: ProduceMode
      readonly records: number
    }
  /** A hook asks what the producer knows of a topic. */
  | { readonly type: 'info'; readonly id: number; readonly topic: string }
  /** Something went wrong outside of any call. */
  | { readonly type: 'stray'; readonly id: number; readonly message: string }

/** Partitions that mean something else; see {@link HookReply}. */
export const ANY_PARTITION = -1
export const NO_PARTITION = -2
/** {@link HookProduce.records} when the body is to be produced as it came. */
export const UNCHANGED = -1

/** Calls of one turn, with what follows them, in order. */
export interface HookCalls {
  readonly items: readonly HookCall[]
  readonly packed: Packed
}

/** Replies of one turn, with what follows them, in order. */
export interface HookReplies {
  readonly type: 'items'
  readonly items: readonly HookReply[]
  readonly packed: Packed
  /** A message of calls has been gone through; sent once for each. */
  readonly isAcknowledgement: boolean
}

/** What the thread says first. */
export type HookStart =
  | { readonly type: 'ready'; readonly hooks: readonly HookName[] }
  | { readonly type: 'unusable'; readonly message: string }

/** What a thread is started with. */
export interface HookThreadData {
  /** The module of hooks, as a URL. */
  readonly module: string
  readonly maxDecisionBytes: number
  /** One number: the id of the call that was begun last. */
  readonly begun: Int32Array
}
