import { createRequire } from 'node:module'
import type { ActorSystemRef, Ref } from 'nact'

// nact is CommonJS and its cjs exports are not all visible to the ESM lexer.
const nact = createRequire(import.meta.url)('nact') as typeof import('nact')

/** What a transition gives back: the next state and what to do, in order. */
export type Step<State, Effect> = readonly [State, readonly Effect[]]

/** A typed address. nact's own `Ref<A>` is assignable to `Ref<B>`; this one is not. Telling a stopped actor is dropped. */
export interface ActorRef<in Message> {
  readonly path: string
  tell(message: Message): void
  stop(): void
}

/** Decides in `transition`, does in `run`. */
export interface ActorLogic<State, Message, Effect> {
  readonly initial: State
  /** Decides. No I/O, no clock, no randomness, no await. */
  transition(state: State, message: Message): Step<State, Effect>
  /** Does. Must not await: an async effect reports back by telling `self` a message. */
  run(effect: Effect, self: ActorRef<Message>): void
  /** Called once when a message made the actor throw. The actor has stopped; its owner answers for what it held. */
  onCrash(error: Error, message: Message): void
}

/** The root under which every actor stands. Actors are flat: nact copies the list of children for every message. */
export class ActorSystem {
  readonly #system: ActorSystemRef
  readonly #live = new Set<ActorRef<never>>()
  #spawned = 0

  constructor() {
    this.#system = nact.start()
  }

  /**
   * Starts an actor. Handles at most one message per turn of the event loop, so messages should be few and fat.
   *
   * @param name readable in logs; made unique and legal here
   */
  spawn<State, Message, Effect>(name: string, logic: ActorLogic<State, Message, Effect>): ActorRef<Message> {
    let state = logic.initial
    let stopped = false
    const legalName = `${name.replace(/[^a-zA-Z0-9\-$_.+!*'(),]/g, '_')}-${++this.#spawned}`
    const handle = (_: unknown, message: Message): true => {
      if (stopped) return true
      const [next, effects] = logic.transition(state, message)
      state = next
      for (const effect of effects) logic.run(effect, ref)
      return true
    }
    const inner = nact.spawn(this.#system, handle as never, legalName, {
      initialState: true,
      onCrash: (message: unknown, error: unknown, context: { stop: unknown }) => {
        stopped = true
        this.#live.delete(ref)
        logic.onCrash(error instanceof Error ? error : new Error(String(error)), message as Message)
        return context.stop
      }
    } as never) as unknown as Ref<Message>
    const ref: ActorRef<Message> = {
      path: legalName,
      tell: message => {
        if (!stopped) nact.dispatch(inner as never, message as never)
      },
      stop: () => {
        if (stopped) return
        stopped = true
        this.#live.delete(ref)
        nact.stop(inner as never)
      }
    }
    this.#live.add(ref)
    return ref
  }

  /** Stops every actor. Their mailboxes are dropped, so drain them by protocol first. */
  stop(): void {
    for (const ref of [...this.#live]) ref.stop()
    nact.stop(this.#system as never)
  }
}
