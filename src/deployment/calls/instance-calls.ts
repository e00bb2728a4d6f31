import { VERB_TIMEOUT_MS } from '../../consumer/instance/instance-entry.js'
import type {
  DescribedInstance,
  InstanceAttempt,
  InstanceName,
  InstanceOffset,
  InstancePosition,
  InstanceReadLimits,
  InstanceRecord,
  InstanceResult,
  InstanceSettings,
  InstanceVerbs,
  PlainInstanceVerb,
  Released
} from '../../verbs/verbs.js'
import { type Call, FEW_BYTES, FEW_FOR_MANY, MANY_BYTES } from './call.js'
import {
  both,
  type Check,
  either,
  flag,
  list,
  MANY,
  nothing,
  number,
  oneOf,
  optional,
  shape,
  tagged,
  text,
  tuple,
  wait,
  whole
} from './checks.js'
import { FAILURE, PLACE, RECORD, topicPartition } from './shapes.js'

/** Time limit of calls that make no requests to Kafka. */
const SHORT_TIMEOUT_MS = 10_000
/** How long the former owner of an instance has to give it up: to commit what automatic commits would commit. */
const RELEASE_MS = 2_000

export interface AskedRead {
  readonly instance: InstanceName
  readonly limits: Omit<InstanceReadLimits, 'gone' | 'client'>
  /** Number of the read, unique at its caller. */
  readonly id: number
}
export interface ReadAnswer {
  readonly records: readonly InstanceRecord[]
  readonly format?: string
  readonly waitMs?: number | undefined
}

/** Answer of the owner of an instance: a result, and the present number of the instance. Release 0.2.0 sends no number. */
export type Numbered<Result> = Result & { readonly number?: string | undefined }

/** How far the client of a read has got its answer; 0 also for a read whose client is gone. */
export interface SettledRead {
  readonly id: number
  readonly accepted: number
}
/** A subscription. The client may read only `allowed` of the topics that match; absent: all of them. */
export interface AskedSubscription {
  readonly instance: InstanceName
  readonly topics: { readonly topics: readonly string[] } | { readonly pattern: string }
  readonly allowed: readonly string[] | undefined
}

const texts = list(text, MANY)
const partitions = list(topicPartition, MANY)

const instance = shape<InstanceName>({
  groupId: text,
  name: text,
  principal: optional(text),
  api: optional(text),
  isWanted: nothing,
  attempt: optional(shape<InstanceAttempt>({ number: optional(text), isPassedOn: flag, isRepeated: flag }))
})

const settings = shape<InstanceSettings>({
  api: text,
  format: text,
  start: oneOf('earliest', 'latest', 'none'),
  autoCommitMs: optional(wait),
  minBytes: optional(number),
  maxWaitMs: wait,
  maxBytes: whole,
  idleMs: optional(wait)
})

const offsets = list(shape<InstanceOffset>({ ...PLACE, offset: whole, metadata: text }), MANY)

const positions = list(
  shape<InstancePosition>({
    ...PLACE,
    position: either(whole, either(oneOf('beginning', 'end'), shape<{ timestampMs: number }>({ timestampMs: number })))
  }),
  MANY
)

const resultOf = <Value>(value: Check<Value>): Check<Numbered<InstanceResult<Value>>> =>
  both(
    tagged<'type', InstanceResult<Value>>('type', {
      done: { value },
      unknownInstance: {},
      illegalState: { message: text },
      otherFormat: { format: text },
      failed: FAILURE,
      timedOut: { reason: optional(text) }
    }),
    shape<{ readonly number?: string | undefined }>({ number: optional(text) })
  )

const plain = <Rest extends unknown[], Value>(
  verb: PlainInstanceVerb,
  value: Check<Value>,
  ...rest: { readonly [At in keyof Rest]: Check<Rest[At]> }
): Call<[InstanceName, ...Rest], Numbered<InstanceResult<Value>>> => ({
  name: `instance ${verb}`,
  question: tuple<[InstanceName, ...Rest]>(instance, ...rest),
  answer: resultOf(value),
  timeoutMs: VERB_TIMEOUT_MS,
  maxBytes: MANY_BYTES
})

/** Any call of a verb whose arguments and result are plain data. */
export type PlainCall = Call<readonly [InstanceName, ...unknown[]], Numbered<InstanceResult<unknown>>>

type PlainCalls = {
  readonly [Verb in PlainInstanceVerb]: Call<
    Parameters<InstanceVerbs[Verb]>,
    Numbered<Awaited<ReturnType<InstanceVerbs[Verb]>>>
  >
}

const plainCalls: PlainCalls = {
  create: plain('create', flag, settings, optional(text)),
  settingsOf: plain('settingsOf', settings),
  remove: plain('remove', nothing),
  subscription: plain('subscription', texts),
  unsubscribe: plain('unsubscribe', nothing),
  assign: plain('assign', nothing, partitions),
  assignment: plain('assignment', partitions),
  describe: plain('describe', shape<DescribedInstance>({ subscription: texts, assignment: partitions })),
  seek: plain('seek', nothing, positions),
  commit: plain('commit', nothing, either(offsets, oneOf('accepted'))),
  committed: plain('committed', offsets, partitions)
}

const subscribe: Call<AskedSubscription, Numbered<InstanceResult<void>>> = {
  name: 'instance subscribe',
  question: shape<AskedSubscription>({
    instance,
    topics: either(
      shape<{ topics: readonly string[] }>({ topics: texts }),
      shape<{ pattern: string }>({ pattern: text })
    ),
    allowed: optional(texts)
  }),
  answer: resultOf(nothing),
  timeoutMs: VERB_TIMEOUT_MS,
  maxBytes: MANY_BYTES
}

const read: Call<AskedRead, Numbered<InstanceResult<ReadAnswer>>> = {
  name: 'instance read',
  question: shape<AskedRead>({
    instance,
    id: whole,
    limits: shape<AskedRead['limits']>({
      timeoutMs: optional(wait),
      maxBytes: optional(whole),
      formats: optional(texts)
    })
  }),
  answer: resultOf(
    shape<ReadAnswer>({
      records: list(shape<InstanceRecord>(RECORD), MANY),
      format: optional(text),
      waitMs: optional(number)
    })
  ),
  timeoutMs: VERB_TIMEOUT_MS,
  maxBytes: FEW_FOR_MANY,
  place: 'long'
}

const settle: Call<SettledRead, void> = {
  name: 'instance settle',
  question: shape<SettledRead>({ id: whole, accepted: whole }),
  answer: nothing,
  timeoutMs: SHORT_TIMEOUT_MS,
  maxBytes: FEW_BYTES,
  place: 'ending'
}

const release: Call<InstanceName, Released> = {
  name: 'instance release',
  question: instance,
  answer: either(flag, text),
  timeoutMs: RELEASE_MS,
  maxBytes: FEW_BYTES
}

/** Calls to the owner of a consumer instance, and to its former one. */
export const INSTANCE_CALLS = { ...plainCalls, subscribe, read, settle, release }
