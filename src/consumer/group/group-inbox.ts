import type { ActorRef, Requester } from '../../core/actor/actor.js'
import type { KafkaRecord, Offset, OffsetAndMetadata } from '../../core/model.js'
import type { AckResult, SetOffsetsResult, WaitingRequest } from './consume-result.js'

export type GroupMessage =
  | { readonly type: 'consume'; readonly topic: string; readonly request: WaitingRequest }
  | {
      readonly type: 'ack'
      readonly topic: string
      readonly partition: number
      readonly offset: Offset
      readonly requester: Requester<AckResult> | undefined
    }
  /** A client has processed messages: their offsets by partition. */
  | { readonly type: 'ackAll'; readonly topic: string; readonly offsets: ReadonlyMap<number, readonly Offset[]> }
  /** A client did not get messages: their records by partition, in order. */
  | {
      readonly type: 'releaseAll'
      readonly topic: string
      readonly records: ReadonlyMap<number, readonly KafkaRecord[]>
    }
  /** The group must continue at other offsets, given by partition. Their metadata is stored unchanged. */
  | {
      readonly type: 'setOffsets'
      readonly topic: string
      readonly offsets: ReadonlyMap<number, OffsetAndMetadata>
      readonly timeoutMs: number
      readonly requester: Requester<SetOffsetsResult>
    }
  /** Tells the group to wait `graceMs` for acknowledgements, to commit, and to leave the group. */
  | { readonly type: 'stop'; readonly graceMs: number; readonly onStopped: () => void }

/**
 * Results for the callbacks that parts of a group passed to {@link GroupRuntime}. `wait` is the number of the callback.
 */
export type GroupNotice =
  | { readonly type: 'answered'; readonly wait: number; readonly result: unknown }
  /** A pause is over, or a watched topic has got more partitions. */
  | { readonly type: 'due'; readonly wait: number }
  /** The group has ended. Requests that were sent before this message go to the next group of the same name. */
  | { readonly type: 'ended' }

/** At most this many messages are handled in one tick, so that other actors get their turn. */
const MAX_PER_TICK = 1_000

/** Messages in the order in which they were sent. */
export interface GroupMessages<Message = GroupMessage> {
  readonly messages: readonly (Message | GroupNotice)[]
}

/**
 * The mailbox of a group. An actor handles one message per tick, so all messages that come before the next tick are
 * passed to the actor as one message. Otherwise a heartbeat could wait for thousands of answers of a group with
 * thousands of partitions.
 */
export class GroupInbox<Message = GroupMessage> {
  readonly #actor: ActorRef<GroupMessages<Message>>
  /** The newest batch of messages. The next message is added to this batch. */
  #open: (Message | GroupNotice)[] = []
  #isAnnounced = false
  /** Messages that the actor has not begun to handle, in order. */
  #unhandled: GroupMessages<Message>[] = []

  constructor(actor: ActorRef<GroupMessages<Message>>) {
    this.#actor = actor
  }

  tell(message: Message | GroupNotice): void {
    if (!this.#isAnnounced || this.#open.length >= MAX_PER_TICK) {
      this.#open = []
      this.#isAnnounced = true
      const batch = { messages: this.#open }
      this.#unhandled.push(batch)
      this.#actor.tell(batch)
    }
    this.#open.push(message)
  }

  /** Called when the actor begins to handle a batch. */
  begins(batch: GroupMessages<Message>): void {
    if (batch.messages === this.#open) this.#isAnnounced = false
    if (batch === this.#unhandled[0]) this.#unhandled.shift()
  }

  /** Stops the actor. Returns the messages that it has not handled. */
  stop(): readonly (Message | GroupNotice)[] {
    this.#actor.stop()
    return this.#unhandled.splice(0).flatMap(({ messages }) => messages)
  }
}
