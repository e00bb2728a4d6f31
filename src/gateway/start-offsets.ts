import type { ActorRef } from '../core/actor/actor.js'
import { type LogPosition, type MonotonicClock, type Offset, positionIn } from '../core/model.js'
import type { RouterMessage } from '../router/messages/operations.js'
import { mapInPortions } from '../router/requests/portions.js'
import { askRouter } from '../router/routing/ask-router.js'
import { toError } from './group-offsets.js'
import { TimeLimit } from './time-limit.js'

/** Finds where reading of partitions begins, by requests to the Router, all of them within one time limit. */
export class StartOffsets {
  readonly #router: ActorRef<RouterMessage>
  readonly #limit: TimeLimit

  constructor(router: ActorRef<RouterMessage>, timeoutMs: number, clock: MonotonicClock) {
    this.#router = router
    this.#limit = new TimeLimit(timeoutMs, clock)
  }

  /**
   * @param known offsets that need not be found
   * @returns by partition, in the order of `partitions`
   * @throws CastellanError when one of them cannot be told in time
   */
  async find(
    topic: string,
    partitions: readonly number[],
    from: 'earliest' | 'latest',
    known: ReadonlyMap<number, Offset>
  ): Promise<ReadonlyMap<number, LogPosition>> {
    const offsets = await mapInPortions(partitions, async partition => {
      const offset = known.get(partition)
      return [partition, offset === undefined ? await this.#bound(topic, partition, from) : { offset }] as const
    })
    return new Map(offsets)
  }

  async #bound(topic: string, partition: number, offsetType: 'earliest' | 'latest'): Promise<LogPosition> {
    const topicPartition = { topic, partition }
    const timeoutMs = this.#limit.remainingMs
    const result = await askRouter(this.#router, { type: 'fetchOffset', topicPartition, offsetType, timeoutMs })
    if (result.type === 'success') return positionIn(result)
    const answer = result.type === 'unknownTopicOrPartition' ? ({ type: 'timedOut' } as const) : result
    throw toError(answer, `where ${topic}/${partition} begins`, this.#limit.timeoutMs)
  }
}
