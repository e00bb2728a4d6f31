import type { ActorRef } from '../../core/actor/actor.js'
import type { Requester } from '../../core/actor/requester.js'
import { topicPartitionKey } from '../../core/model.js'
import type { FetchData, FetchDataResult, RouterMessage } from '../../router/messages/operations.js'

interface Reader extends Requester<FetchDataResult> {
  readonly isWanted: (() => boolean) | undefined
}

/**
 * Reads of all groups of a process. A read of the same offset that is under way already is shared: groups at the end of one
 * log wait there by one request to the Router, however many they are.
 */
export class SharedReads {
  readonly #router: ActorRef<RouterMessage>
  readonly #waiting = new Map<string, Reader[]>()

  constructor(router: ActorRef<RouterMessage>) {
    this.#router = router
  }

  /** Reads that are under way. */
  get size(): number {
    return this.#waiting.size
  }

  read({ requester, isWanted, ...request }: Omit<FetchData, 'type'>): void {
    const reader: Reader = { reply: result => requester.reply(result), isWanted }
    const key = keyOf(request)
    const others = this.#waiting.get(key)
    if (others) {
      others.push(reader)
      return
    }
    const waiting = [reader]
    this.#waiting.set(key, waiting)
    const reply = (result: FetchDataResult): void => {
      this.#waiting.delete(key)
      for (const one of waiting) one.reply(result)
    }
    const wantedByAny = (): boolean => waiting.some(one => one.isWanted?.() ?? true)
    this.#router.tell({ type: 'fetchData', ...request, isWanted: wantedByAny, requester: { reply } })
  }
}

const keyOf = ({
  topicPartition: { topic, partition },
  offset,
  topicId = ''
}: Pick<FetchData, 'topicPartition' | 'offset' | 'topicId'>): string =>
  `${topicPartitionKey(topic, partition)}@${offset} ${topicId}`
