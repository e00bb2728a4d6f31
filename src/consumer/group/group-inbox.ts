import type { ActorRef } from '../../core/actor/actor.js'
import type { GroupMessage } from './messages.js'

/** Messages that are handled in one turn; the next ones have a turn of their own, so that others get theirs. */
const MAX_PER_TURN = 1_000

/** Messages in the order in which they were told. */
export interface GroupMessages {
  readonly messages: readonly GroupMessage[]
}

/**
 * Hands messages to the actor of a group, all that come before its turn at once: an actor handles one message a turn, and a
 * group of thousands of partitions gets thousands of answers, before which no heartbeat must wait for long.
 */
export class GroupInbox {
  readonly #actor: ActorRef<GroupMessages>
  /** Told already, and not handled yet: what comes now is added. */
  #open: GroupMessage[] = []
  #isTold = false
  /** Those that the actor has not begun to handle, in order. */
  #unhandled: GroupMessages[] = []

  constructor(actor: ActorRef<GroupMessages>) {
    this.#actor = actor
  }

  tell(message: GroupMessage): void {
    if (!this.#isTold || this.#open.length >= MAX_PER_TURN) {
      this.#open = []
      this.#isTold = true
      const told = { messages: this.#open }
      this.#unhandled.push(told)
      this.#actor.tell(told)
    }
    this.#open.push(message)
  }

  /** The actor begins to handle these. */
  begins(told: GroupMessages): void {
    if (told.messages === this.#open) this.#isTold = false
    if (told === this.#unhandled[0]) this.#unhandled.shift()
  }

  /** Stops the actor. Returns the messages that it has not begun to handle: it never will. */
  stop(): readonly GroupMessage[] {
    this.#actor.stop()
    return this.#unhandled.splice(0).flatMap(({ messages }) => messages)
  }
}
