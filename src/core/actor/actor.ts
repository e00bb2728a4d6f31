import { createRequire } from 'node:module'
import type { ActorSystemRef, Ref } from 'nact'

// nact is CommonJS and its cjs exports are not all visible to the ESM lexer.
const nact = createRequire(import.meta.url)('nact') as typeof import('nact')

/** What a transition returns: the next state, and effects to carry out in order. */
export type Step<State, Effect> = readonly [State, readonly Effect[]]

/**
 * A typed address. nact's own `Ref<A>` is assignable to `Ref<B>`; this one is not. A message to a stopped actor is
 * dropped.
 */
export interface ActorRef<in Message> {
  readonly path: string
  tell(message: Message): void
  stop(): void
}

interface Crashes<Message> {
  /**
   * Called once when handling a message threw. The actor has stopped, and its owner answers the requests it held.
   *
   * @param unhandled the messages that had been told and not yet handled, in order; none told before the crash is lost
   */
  onCrash(error: Error, message: Message, unhandled: readonly Message[]): void
}

/** Logic that decides in `transition` and acts in `run`. */
export interface ActorLogic<State, Message, Effect> extends Crashes<Message> {
  initial: State
  /** Decides. No I/O, no clock, no randomness, no await. */
  transition(state: State, message: Message): Step<State, Effect>
  /** Carries out an effect. Must not await: an asynchronous effect reports back by telling `self` a message. */
  run(effect: Effect, self: ActorRef<Message>): void
}

/** Logic that owns mutable tables, which grow with load; its decisions are pure functions. */
export interface OwnerLogic<Message> extends Crashes<Message> {
  /** Must not await. */
  receive(message: Message, self: ActorRef<Message>): void
}

/** The root of all actors. Actors are flat: nact copies the list of children for every message. */
export class ActorSystem {
  readonly #system: ActorSystemRef
  readonly #live = new Set<ActorRef<never>>()
  #spawned = 0

  constructor() {
    this.#system = nact.start()
  }

  /**
   * Starts an actor that decides in a pure transition.
   *
   * @param name readable in logs; made unique and legal here
   */
  spawn<State, Message, Effect>(name: string, logic: ActorLogic<State, Message, Effect>): ActorRef<Message> {
    let state = logic.initial
    return this.spawnOwner(name, {
      receive: (message: Message, self) => {
        const [next, effects] = logic.transition(state, message)
        state = next
        for (const effect of effects) logic.run(effect, self)
      },
      onCrash: (error, message, unhandled) => logic.onCrash(error, message, unhandled)
    })
  }

  /**
   * Starts an actor that owns mutable tables.
   *
   * nact handles one message per turn of the event loop and drops the mailbox of a crashed actor. So the mailbox is an
   * array of ours and nact is told only that there is something in it: all that was told before a turn is handled in
   * that turn, in order, and what a crash leaves behind is handed to `onCrash`.
   */
  spawnOwner<Message>(name: string, logic: OwnerLogic<Message>): ActorRef<Message> {
    let inbox: Message[] = []
    let stopped = false
    let crash: { message: Message; unhandled: Message[] } | undefined
    const legalName = `${name.replace(/[^a-zA-Z0-9\-$_.+!*'(),]/g, '_')}-${++this.#spawned}`
    const handleInbox = (): true => {
      const messages = inbox
      inbox = []
      for (let at = 0; at < messages.length && !stopped; at++) {
        try {
          logic.receive(messages[at]!, ref)
        } catch (error) {
          crash = { message: messages[at]!, unhandled: messages.slice(at + 1) }
          throw error
        }
      }
      return true
    }
    const inner = nact.spawn(this.#system, handleInbox as never, legalName, {
      initialState: true,
      onCrash: (_: unknown, error: unknown, context: { stop: unknown }) => {
        if (!stopped && crash) {
          stopped = true
          this.#live.delete(ref)
          const unhandled = [...crash.unhandled, ...inbox]
          inbox = []
          logic.onCrash(error instanceof Error ? error : new Error(String(error)), crash.message, unhandled)
        }
        return context.stop
      }
    } as never) as unknown as Ref<'wake'>
    const ref: ActorRef<Message> = {
      path: legalName,
      tell: message => {
        if (stopped) return
        if (inbox.push(message) === 1) nact.dispatch(inner as never, 'wake' as never)
      },
      stop: () => {
        if (stopped) return
        stopped = true
        inbox = []
        this.#live.delete(ref)
        nact.stop(inner as never)
      }
    }
    this.#live.add(ref)
    return ref
  }

  /** Stops every actor. Their mailboxes are dropped; let the actors finish their work first. */
  stop(): void {
    for (const ref of [...this.#live]) ref.stop()
    nact.stop(this.#system as never)
  }
}
