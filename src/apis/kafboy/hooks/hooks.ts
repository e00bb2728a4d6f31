import type { ProduceMode } from '../routes.js'

/** One record: text (its UTF-8 bytes) or bytes without a key, or a key with a value. */
export type KafboyRecord = string | Uint8Array | KafboyKeyedRecord

export interface KafboyKeyedRecord {
  readonly key: string | Uint8Array | null
  readonly value: string | Uint8Array | null
}

/** A form field, or a member of a JSON object. The value of a form field without `=` is `true`. */
export type KafboyField = readonly [name: string, value: unknown]

/** A request to a produce route, before anything of it is produced. */
export interface KafboyRequest {
  readonly type: 'post'
  /** The topic in the path. */
  readonly topic: string
  /** The mode of the path. */
  readonly mode: ProduceMode
  /** The fields of the form, or the members of the JSON object, in order; empty for any other JSON. */
  readonly body: readonly KafboyField[]
  /** The parsed JSON of the body; `undefined` when it is a form. */
  readonly json: unknown
  readonly rawBody: Uint8Array
  readonly req: KafboyHttpRequest
}

export interface KafboyHttpRequest {
  readonly requestId: string
  readonly method: string
  /** The URL as it was sent, with the query. */
  readonly url: string
  /** Headers by lower-case name; several values of a name are joined with a comma. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly remoteAddress: string
}

export interface KafboyProduce {
  /** Default: the topic in the path. */
  readonly topic?: string
  /** Default: the body, as it would be produced without a hook. A list is produced in one call. */
  readonly data?: KafboyRecord | readonly KafboyRecord[]
  /** Default: the mode of the path; with an early answer `async`. */
  readonly mode?: ProduceMode
}

/** A decision about a request. Any other value is answered 400 `{"error":"unexp"}`. */
export type KafboyDecision =
  /** Produces, and answers in the way of the mode. No data at all (`[]`) is answered 400 `{"error":"empty"}`. */
  | { readonly produce: KafboyProduce }
  /** Answers at once. A string or bytes are sent as they are, anything else as JSON. May still produce. */
  | { readonly status: 200; readonly body: unknown; readonly produce?: KafboyProduce }
  /** Answers 400 `{"error":"…"}`. */
  | { readonly error: string }
  /** Answers 400 `{"error":"empty"}`. */
  | readonly []

/** Makes a decision later. The first decision of a request counts; later ones are logged. */
export type KafboyAnswer = (decision: KafboyDecision) => void

export type KafboyOutcome =
  | { readonly type: 'sent'; readonly partition: number; readonly offset: number }
  | { readonly type: 'failed'; readonly error: string | number }

/** The producer's view of a topic. */
export interface KafboyTopicInfo {
  readonly topic: string
  /** Records that wait for the hook `massageBuffer`. */
  readonly bufferedRecords: number
  /** One worker for each partition. */
  readonly workers: readonly KafboyWorker[]
}

export interface KafboyWorker {
  readonly partition: number
  /** The broker that leads the partition; -1: none does. */
  readonly leaderId: number
  /** Whether records can be written to the partition now: it has a leader, and Kafka can be reached. */
  readonly isUp: boolean
}

/** ekaf's calls, for hooks that produce by themselves. */
export interface KafboyProducer {
  /** Produces and waits for Kafka, five seconds by default. */
  produceSync(topic: string, data: KafboyRecord | readonly KafboyRecord[]): Promise<readonly KafboyOutcome[]>
  produceAsync(topic: string, data: KafboyRecord | readonly KafboyRecord[]): void
  /** Produces with the next batch of the topic. */
  produceAsyncBatched(topic: string, data: KafboyRecord | readonly KafboyRecord[]): void
  /** Looks a topic up; `undefined`: it is not known, or too many such calls are under way. */
  info(topic: string): Promise<KafboyTopicInfo | undefined>
}

/** A record that needs a partition. */
export interface KafboyPick {
  readonly topic: string
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** Partitions are 0 to this, exclusive. */
  readonly partitionCount: number
}

/** The names of ekaf's events: a batch is handed on; its outcomes are known. */
export type KafboyEventName = 'ekaf_callback_flush' | 'ekaf_callback_flushed_replied'

/** Something that happened to a batch of a topic. */
export interface KafboyEvent {
  readonly name: KafboyEventName
  readonly topic: string
  /** Number of records. */
  readonly records: number
}

/**
 * Hooks into kafboy's requests and ekaf's producer. The module that `apis.kafboy.callbackEditJson` names
 * exports one of these as its default. It is imported into the gateway: a loop in a hook holds up everything, and what a hook
 * throws outside of its call or its promise ends the process.
 */
export interface KafboyHooks {
  /** Decides about a POST to a produce route, by what it returns or resolves to, or by calling `answer` once. */
  editJson?(
    request: KafboyRequest,
    answer: KafboyAnswer,
    ekaf: KafboyProducer
  ): KafboyDecision | undefined | Promise<KafboyDecision | undefined>
  /** Called for every 400, before the answer is sent. */
  onError?(error: { readonly status: 400; readonly message: string }): void
  /** Picks the partition of a record where the strategy is `custom`; `undefined`: the next one in turn. */
  pickPartition?(record: KafboyPick): number | { readonly error: string } | undefined
  /** Replaces the records of a batch before it is produced, for example merges all into one. Batches are gathered for it. */
  massageBuffer?(batch: {
    readonly topic: string
    readonly records: readonly KafboyBatchRecord[]
  }): KafboyRecord | readonly KafboyRecord[]
  /** Called for batches: the records that a request to a batch route, or `massageBuffer`, hands on. */
  onEvent?(event: KafboyEvent): void
}

export interface KafboyBatchRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
}

/**
 * Types the hooks of a module:
 *
 *   import { defineKafboyHooks } from 'castellan/kafboy'
 *
 *   export default defineKafboyHooks({
 *     editJson: ({ topic, body }) => (body.length === 0 ? { error: `${topic}.insufficient` } : { produce: {} })
 *   })
 */
export const defineKafboyHooks = (hooks: KafboyHooks): KafboyHooks => hooks
