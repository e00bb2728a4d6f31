export type QueueWord = 'accept' | 'release' | 'reject' | 'renew'

/** A message that a client has acquired, with a token of its own. All times are milliseconds of one clock. */
export interface Delivery {
  readonly message: string
  readonly token: string
  /** The gateway that gave it. */
  readonly gateway: string
  readonly deliveryCount: number
  /** When its acquire was sent, and when the client had the answer. */
  readonly askedAt: number
  readonly at: number
  /** What was left of its lock. Absent: the client was not told. */
  readonly lockMs?: number | undefined
  /** The record as text. Absent: it is not compared. */
  readonly text?: string | undefined
}

/** A word that a client has said about a message: it is settled, released or renewed. */
export interface Attempt {
  readonly token: string
  readonly word: QueueWord
  /** The gateway that was asked. */
  readonly gateway: string
  readonly sentAt: number
  /** Infinity: there is no answer. */
  answeredAt: number
  /** Absent: there is no answer. `refused`: the whole request was answered with a problem. */
  outcome?: string | undefined
  reason?: string | undefined
}

/** A time in which something happened that no client of the queue has done or was told of. */
export interface Disturbance {
  readonly from: number
  readonly to: number
  /** Deliveries of one message that no client may have got because of it. */
  readonly unseen: number
  /** `locks`: Kafka may have ended locks early. `process`: a gateway may have forgotten its locks and answers, too. */
  readonly ends: 'nothing' | 'locks' | 'process'
  /** Absent: it may be any. */
  readonly gateway?: string
}

export interface EndOfRun {
  readonly deliveryLimit: number
  /** An answer reaches its client within this time. */
  readonly transitMs: number
  /**
   * Whether Kafka may end a lock early, without the gateway hearing of it. The gateway may then give a message that another one
   * has given since, and is told `done` for a message that another one has settled.
   */
  readonly locksEndUnheard: boolean
  /** Deliveries in a row that no client has got. Absent: a count may rise by itself, so counts are not looked at. */
  readonly mostUnseen?: number | undefined
  /** The message of each copy. Absent: none are written. */
  readonly deadLetters?: readonly string[] | undefined
}

/** Something that must never happen, and did. */
export interface Problem {
  /** In one word or two, such as `missing`. */
  readonly rule: string
  readonly what: string
}

export interface QueueVerdict {
  readonly problems: readonly Problem[]
  readonly figures: Readonly<Record<string, number>>
  /** How each message ended that was archived: by the message, why. */
  readonly archived: ReadonlyMap<string, string>
}

/** What became of one message, as all clients and gateways together know it. */
export class Fate {
  /** Absent: its text is not compared. */
  text: string | undefined
  isWritten = false
  readonly deliveries: Delivery[] = []
  /** With all its tokens. */
  readonly attempts: Attempt[] = []
  /** What gateways have logged about its end. */
  readonly archived: { readonly at: number; readonly because: string }[] = []
}

export const isFinal = ({ word }: Attempt): boolean => word === 'accept' || word === 'reject'
export const isArchiving = ({ word, reason }: Attempt): boolean => word === 'release' && reason === 'archived'
export const isDone = ({ outcome }: Attempt): boolean => outcome === 'done'
/** Whether the gateway that holds the message was certainly not asked. */
export const isUnheard = ({ outcome }: Attempt): boolean => outcome === 'elsewhere' || outcome === 'refused'
/** Whether Kafka may have taken it though nobody knows. */
export const isDoubtful = ({ outcome }: Attempt): boolean => outcome === undefined || outcome === 'unknown'
