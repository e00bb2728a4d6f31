import { ask } from '../../core/actor/actor.js'
import { TimedOutError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { GroupActor, type SharedRuntime } from '../group/group-runtime.js'
import { ConsumerInstance, type ConsumerInstanceOptions, type InstanceReply } from './consumer-instance.js'
import type { InstancePoint } from './instance-number.js'
import type { InstanceName, InstanceResult, UnknownInstance } from './instances.js'

/** Time limit of verbs. The requests that they make have shorter ones, so it is reached only when an actor is stuck. */
export const VERB_TIMEOUT_MS = 60_000

/** Time limit of verbs. The requests that they make have shorter limits, so this one is reached only when an actor is stuck. */
export type VerbOf<Value> = (consumer: ConsumerInstance, reply: InstanceReply<Value>) => void

interface InstanceEntryOptions extends Omit<ConsumerInstanceOptions, 'runtime' | 'tick'> {
  readonly shared: SharedRuntime
  /** Where the history of the instance begins, counted in the memory of this process. */
  readonly point: InstancePoint
  readonly releaseShare: () => void
  /** Called after a bug, with the answer to open and later requests. */
  readonly onCrash: (failure: Failure) => void
}

/** An instance of this process: its actor, and the requests that it has not answered. */
export class InstanceEntry {
  readonly options: InstanceEntryOptions
  readonly consumer: ConsumerInstance
  /** When its state was last written, or is about to be; -∞: that has failed. */
  storedAt: number
  readonly #actor: GroupActor<never>
  /** Answer the requests that are not answered, at the latest when the instance begins to end. */
  readonly #open = new Set<InstanceReply<never>>()
  /** The answer to requests from then on. */
  #endResult: UnknownInstance | Failure | undefined
  #hasEnded: () => void = () => undefined
  readonly #ended = new Promise<void>(resolve => (this.#hasEnded = resolve))

  constructor(options: InstanceEntryOptions) {
    const { instance, shared, onCrash } = options
    this.options = options
    this.storedAt = shared.clock()
    const { groupId, name } = instance
    this.#actor = new GroupActor<never>(`instance-${instanceKey(instance)}`, groupId, shared, {
      receive: () => undefined,
      onCrash: error => {
        shared.metrics.count('groups', 'unexpected_failures')
        this.log.error({ err: error, instance: name }, 'a consumer instance met a bug and is removed')
        onCrash(ownFailure('protocol', `the instance has failed: ${error.message}`, true))
      }
    })
    this.consumer = new ConsumerInstance({ ...options, runtime: this.#actor, tick: this.#actor.tick })
  }

  get log(): Logger {
    return this.#actor.log
  }

  /** Calls back in a later tick of the actor. */
  tick(run: () => void): void {
    this.#actor.tick(run)
  }

  async ask<Value>(verb: VerbOf<Value>): Promise<InstanceResult<Value>> {
    if (this.#endResult) return this.#endResult
    const timeoutMs = VERB_TIMEOUT_MS + this.options.settings.maxWaitMs
    try {
      return await ask<InstanceResult<Value>>('instance', timeoutMs, requester => {
        const reply: InstanceReply<Value> = result => {
          if (this.#open.delete(reply)) requester.reply(result)
        }
        this.#open.add(reply)
        this.tick(() => {
          this.consumer.used()
          verb(this.consumer, reply)
        })
      })
    } catch (error) {
      if (error instanceof TimedOutError) return { type: 'timedOut' }
      throw error
    }
  }

  /**
   * Ends in the tick after the outcomes of answered reads; resolves when it has.
   *
   * @param result the answer to open and later requests
   * @param isKept the membership remains, for another process to continue
   */
  async end(result: UnknownInstance | Failure, isKept: boolean): Promise<void> {
    this.#endResult = result
    this.tick(() => {
      this.#answerOpen(result)
      this.consumer.end(isKept, this.#hasEnded)
    })
    await this.#ended
    this.#actor.stop()
  }

  /** Ends at once, without a commit. */
  abandon(failure: Failure): void {
    this.consumer.abandon()
    this.#actor.stop()
    this.#answerOpen(failure)
    this.#hasEnded()
  }

  #answerOpen(result: InstanceResult<never>): void {
    for (const reply of this.#open) reply(result)
  }
}

/** A group and a name may both have any characters. */
export const instanceKey = ({ groupId, name }: InstanceName): string => `${groupId.length} ${groupId} ${name}`
