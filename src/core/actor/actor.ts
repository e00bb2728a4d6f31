import nactActor from 'nact/lib/actor.js'
import nactFunctions from 'nact/lib/functions.js'
import nactSystem from 'nact/lib/system.js'
import { TimedOutError } from '../errors.js'
import { MAX_TIMER_MS } from '../model.js'
import { asError } from '../node-errors.js'

/** A reference of nact to an actor or to the actor system. */
interface NactRef {
  readonly path: object
}

/**
 * The functions of nact that are used here. Unlike nact's own types, these types do not let a caller send an actor a
 * message of the wrong type.
 */
interface Nact {
  start(): NactRef
  spawn(parent: NactRef, handle: () => true, name: string, options: NactOptions): NactRef
  dispatch(actor: NactRef, message: 'wake'): void
  stop(actor: NactRef): void
}
interface NactOptions {
  readonly initialState: true
  onCrash(message: unknown, error: unknown, context: { readonly stop: unknown }): unknown
}

// Its main file loads persistence and monitoring, too. Bundlers follow imports, and nothing that `createRequire` loads.
const nact = { ...nactSystem, ...nactActor, ...nactFunctions } as Nact

const WAKE = 'wake'

/** The result of a transition: the next state, and the effects to carry out, in order. */
export type Step<State, Effect> = readonly [State, readonly Effect[]]

/** The typed address of an actor. A message to a stopped actor is dropped. */
export interface ActorRef<in Message> {
  readonly path: string
  tell(message: Message): void
  stop(): void
}

/** An actor as its owner sees it. */
export interface OwnedRef<in Message> extends ActorRef<Message> {
  /**
   * Like `tell`, but all that was told is handled before the event loop goes on: an answer, and a request, does not wait for a turn
   * of the loop in each actor that it passes. Not for messages by which actors answer each other: without a turn between them,
   * nothing else would come.
   */
  tellSoon(message: Message): void
}

interface Crashes<Message> {
  /**
   * Called once, after the handler of a message threw. The actor has stopped. Its owner answers the requests that the
   * actor held.
   * @param unhandled all messages that were sent to the actor and are not handled, in order
   */
  onCrash(error: Error, message: Message, unhandled: readonly Message[]): void
  /**
   * Called once, when the actor is stopped before it has crashed. Absent: what was sent to it is dropped.
   * @param unhandled all messages that were sent to the actor and are not handled, in order
   */
  onStopped?(unhandled: readonly Message[]): void
}

/** Logic that decides in `transition` and acts in `run`. */
export interface ActorLogic<State, Message, Effect> extends Crashes<Message> {
  initial: State
  /** Decides what to do. Must not use I/O, a clock or randomness, and must not await. */
  transition(state: State, message: Message): Step<State, Effect>
  /** Carries out an effect. Must not await: an asynchronous effect sends its result to `self` as a message. */
  run(effect: Effect, self: ActorRef<Message>): void
}

/** Logic that owns mutable tables. */
export interface OwnerLogic<Message> extends Crashes<Message> {
  /** Handles a message. Must not await. */
  receive(message: Message, self: ActorRef<Message>): void
}

/** The parent of all actors. No actor has children, because nact copies the list of children for every message. */
export class ActorSystem {
  readonly #system: NactRef
  readonly #live = new Set<ActorRef<never>>()
  #spawned = 0

  constructor() {
    this.#system = nact.start()
  }

  /**
   * Starts an actor that decides in a pure transition.
   * @param name appears in logs; this method makes it unique and legal for nact
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
   * nact handles one message per tick and drops the mailbox of a crashed actor. Therefore the mailbox is an array of
   * our own, and nact is only notified when this array has messages. All messages sent before a tick are handled in
   * that tick, in order. After a crash, the messages that are not handled go to `onCrash`.
   */
  spawnOwner<Message>(name: string, logic: OwnerLogic<Message>): OwnedRef<Message> {
    const path = `${name.replace(/[^a-zA-Z0-9\-$_.+!*'(),]/g, '_')}-${++this.#spawned}`
    const actor: Mailbox<Message> = new Mailbox(this.#system, path, logic, () => this.#live.delete(actor))
    this.#live.add(actor)
    return actor
  }

  /** Stops every actor and drops its mailbox. Call it after the actors have finished their work. */
  stop(): void {
    for (const ref of [...this.#live]) ref.stop()
    nact.stop(this.#system)
  }
}

/** One actor, its messages, and what nact calls. */
class Mailbox<Message> implements OwnedRef<Message> {
  readonly path: string
  readonly #logic: OwnerLogic<Message>
  readonly #inner: NactRef
  readonly #onStopped: () => void
  #inbox: Message[] = []
  /** The messages of this tick, and the index of the one in hand. */
  #taken: readonly Message[] = []
  #at = 0
  #isStopped = false
  #isSoon = false
  #crash: { readonly message: Message } | undefined

  constructor(system: NactRef, path: string, logic: OwnerLogic<Message>, onStopped: () => void) {
    this.path = path
    this.#logic = logic
    this.#onStopped = onStopped
    this.#inner = nact.spawn(system, () => this.#handleInbox(), path, {
      initialState: true,
      onCrash: (_, error, context) => {
        this.#crashed(error)
        return context.stop
      }
    })
  }

  tell(message: Message): void {
    if (this.#isStopped) return
    if (this.#inbox.push(message) === 1) nact.dispatch(this.#inner, WAKE)
  }

  tellSoon(message: Message): void {
    if (this.#isStopped) return
    this.#inbox.push(message)
    if (this.#isSoon) return
    this.#isSoon = true
    process.nextTick(() => this.#handleSoon())
  }

  #handleSoon(): void {
    this.#isSoon = false
    try {
      this.#handleInbox()
    } catch (error) {
      this.#crashed(error)
      nact.stop(this.#inner)
    }
  }

  stop(): void {
    if (this.#isStopped) return
    const unhandled = this.#end()
    nact.stop(this.#inner)
    this.#logic.onStopped?.(unhandled)
  }

  #end(): readonly Message[] {
    const unhandled = [...this.#taken.slice(this.#at + 1), ...this.#inbox]
    this.#isStopped = true
    this.#taken = []
    this.#inbox = []
    this.#onStopped()
    return unhandled
  }

  #handleInbox(): true {
    const messages = this.#inbox
    this.#taken = messages
    this.#inbox = []
    for (this.#at = 0; this.#at < messages.length && !this.#isStopped; this.#at++) {
      try {
        this.#logic.receive(messages[this.#at]!, this)
      } catch (error) {
        this.#crash = { message: messages[this.#at]! }
        throw error
      }
    }
    this.#taken = []
    return true
  }

  #crashed(error: unknown): void {
    if (this.#isStopped || !this.#crash) return
    const { message } = this.#crash
    this.#logic.onCrash(asError(error), message, this.#end())
  }
}

export interface Requester<in Result> {
  /** Called exactly once, on the event loop. Must not throw. */
  reply(result: Result): void
}

/**
 * Ticks that a deadline waits after the process has stood still, so that answers which came meanwhile count: Node runs timers
 * before it reads sockets, and an answer passes an actor before it reaches its requester.
 */
export const TICKS_OF_AN_ANSWER = 3

export function afterTicks(ticks: number, run: () => void): void {
  setImmediate(() => (ticks > 1 ? afterTicks(ticks - 1, run) : run()))
}

/**
 * Sends one request and waits for its result.
 *
 * @param send called once, synchronously, with the requester to reply to
 * @throws TimedOutError after `timeoutMs` without a reply. A running Router always replies earlier.
 */
export function ask<Result>(
  what: string,
  timeoutMs: number,
  send: (requester: Requester<Result>) => void
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TimedOutError(what, timeoutMs)), Math.min(timeoutMs, MAX_TIMER_MS))
    const requester: Requester<Result> = {
      reply(result) {
        clearTimeout(timer)
        resolve(result)
      }
    }
    try {
      send(requester)
    } catch (error) {
      clearTimeout(timer)
      reject(error)
    }
  })
}
