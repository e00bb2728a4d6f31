import type { ActorRef } from '../../core/actor/actor.js'
import type { Logger } from '../../core/model.js'
import { CodecUnavailableError } from '../../kafka/codec-unavailable-error.js'
import type { RouterMessage, SealedBatch } from '../../router/messages/operations.js'
import { failures } from './failures.js'
import type { Schedule, ScheduledLane } from './partition-producer-deps.js'
import { persistedOf } from './verdict.js'

export interface LaneScheduleOptions {
  readonly router: ActorRef<RouterMessage>
  readonly log: Logger
  /** Called with the batches of a turn and their lanes before they are sent; they are sent when it resolves. */
  readonly beforeSending?: ((batches: ReadonlyMap<ScheduledLane, SealedBatch>) => Promise<unknown>) | undefined
}

/** Sends what lanes have ready: all that became ready in one turn of the event loop leave in one message. */
export class LaneSchedule implements Schedule {
  readonly #options: LaneScheduleOptions
  /** Lanes that hold something. */
  readonly #busy = new Set<ScheduledLane>()
  #ready: ScheduledLane[] = []
  #isFlushPlanned = false

  constructor(options: LaneScheduleOptions) {
    this.#options = options
  }

  ready(lane: ScheduledLane): void {
    this.#busy.add(lane)
    this.#ready.push(lane)
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    setImmediate(() => this.#flush())
  }

  emptied(lane: ScheduledLane): void {
    this.#busy.delete(lane)
  }

  tick(nowMs: number): void {
    for (const lane of this.#busy) lane.tick(nowMs)
  }

  #flush(): void {
    this.#isFlushPlanned = false
    const batches = new Map<ScheduledLane, SealedBatch>()
    for (const lane of this.#ready.splice(0)) {
      const batch = this.#take(lane)
      if (batch !== undefined) batches.set(lane, batch)
    }
    if (batches.size === 0) return
    const { beforeSending } = this.#options
    if (beforeSending === undefined) this.#send(batches)
    else
      beforeSending(batches)
        .catch(error => this.#options.log.error({ err: error }, 'batches that are about to be sent met a bug'))
        .then(() => this.#send(batches))
  }

  #send(batches: ReadonlyMap<ScheduledLane, SealedBatch>): void {
    this.#options.router.tell({ type: 'produceBatches', batches: [...batches.values()] })
  }

  /** A bug met in one lane stays in it. */
  #take(lane: ScheduledLane): SealedBatch | undefined {
    try {
      return lane.take()
    } catch (error) {
      if (error instanceof CodecUnavailableError) {
        lane.close(maybeWritten => failures.codecUnavailable(error.message, persistedOf(maybeWritten)))
        return undefined
      }
      const { topic, partition } = lane
      this.#options.log.error({ err: error, topic, partition }, 'a lane met a bug and was emptied')
      lane.close(maybeWritten => failures.bug(persistedOf(maybeWritten)))
      return undefined
    }
  }
}
