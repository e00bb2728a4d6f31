import type { ActorRef, ActorSystem } from '../../src/core/actor/actor.js'
import type { Operations, RouterMessage } from '../../src/router/messages/operations.js'
import {
  type FromRouter,
  type Question,
  RequestManager,
  type ResultHandlers
} from '../../src/router/routing/request-manager.js'

export interface SoakWorld {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  readonly topics: readonly string[]
  readonly partitions: number
  readonly random: () => number
  /** False: actors finish what they have asked and ask no more. */
  asks: boolean
  /** Answers by `operation result`. */
  readonly answers: Map<string, number>
}

type SelfMessage = FromRouter | { readonly type: 'next' }
type Habit = 'fetchData' | 'fetchOffset' | 'fetchConsumerOffset' | 'commitConsumerOffset' | 'fetchTopicMetadata'

const operations: readonly (readonly [Habit, number])[] = [
  ['fetchData', 0.7],
  ['fetchOffset', 0.1],
  ['fetchConsumerOffset', 0.08],
  ['commitConsumerOffset', 0.08],
  ['fetchTopicMetadata', 0.04]
]

/**
 * One actor with one habit: it asks, takes the answer, waits a little, and asks again.
 *
 * @returns tells what it waits for: an answer, or the next attempt to get one
 */
export function spawnSoakActor(world: SoakWorld, number: number): () => string | undefined {
  const habit = habitOf(world.random())
  const topicPartition = {
    topic: world.topics[Math.floor(world.random() * world.topics.length)]!,
    partition: Math.floor(world.random() * world.partitions)
  }
  const groupId = `soak-group-${number % 20}`
  let offset = 0
  let asked = 0
  let lastRetry = ''
  const rest = (): void => {
    if (world.asks) setTimeout(() => self.tell({ type: 'next' }), 20 + world.random() * 400)
  }
  const count = (result: { readonly operation: keyof Operations; readonly type: string }): void => {
    const name = `${result.operation} ${result.type}`
    world.answers.set(name, (world.answers.get(name) ?? 0) + 1)
    rest()
  }
  const startOver = (result: Parameters<typeof count>[0]): void => {
    offset = 0
    count(result)
  }
  const handlers: ResultHandlers<Habit> = {
    fetchData: {
      success: result => {
        offset = result.batch.nextOffset
        count(result)
      },
      noMessages: count,
      offsetOutOfRange: () => {
        // Retention has moved on: read from the earliest that is left.
        manager.sendRequestToRouter({ type: 'fetchOffset', topicPartition, offsetType: 'earliest', timeoutMs: 3_000 })
        world.answers.set('fetchData offsetOutOfRange', (world.answers.get('fetchData offsetOutOfRange') ?? 0) + 1)
      },
      unknownTopicOrPartition: count,
      corruptMessage: result => {
        offset = result.nextOffset
        count(result)
      },
      failed: count
    },
    fetchOffset: {
      success: result => {
        offset = result.offset
        count(result)
      },
      unknownTopicOrPartition: count,
      failed: startOver
    },
    fetchConsumerOffset: { success: count, notFound: count, failed: count },
    commitConsumerOffset: { success: count, unknownTopicOrPartition: count, superseded: count, failed: count },
    fetchTopicMetadata: { success: count, failed: count }
  }
  const manager = new RequestManager<Habit>({
    router: world.router,
    tellSelf: message => self.tell(message),
    random: world.random,
    onRetry: (operation, tryNumber, reason = 'no answer in time') => {
      lastRetry = `${operation} try ${tryNumber}: ${reason}`
    }
  })
  const questionOf = (): Question<Habit> => {
    switch (habit) {
      case 'fetchData':
        return { type: habit, topicPartition, offset }
      case 'fetchOffset':
        return { type: habit, topicPartition, offsetType: 'latest' }
      case 'fetchConsumerOffset':
        return { type: habit, groupId, topicPartition }
      case 'commitConsumerOffset':
        return { type: habit, groupId, topicPartition, offsetAndMetadata: { offset: asked++ } }
      case 'fetchTopicMetadata':
        return { type: habit, requestId: asked++, topics: [topicPartition.topic] }
    }
  }
  const ask = (): void => {
    const timeoutMs = 1_000 + Math.floor(world.random() * 4_000)
    manager.sendRequestToRouter({ ...questionOf(), timeoutMs })
  }
  const self: ActorRef<SelfMessage> = world.system.spawnOwner<SelfMessage>(`soak-${number}`, {
    receive: message => {
      if (message.type === 'fromRouter') manager.checkResult(message, handlers)
      else if (world.asks) ask()
    },
    onCrash: error => {
      throw error
    }
  })
  setTimeout(() => self.tell({ type: 'next' }), world.random() * 500)
  return () => {
    const waiting = operations.map(([operation]) => operation).filter(operation => manager.isWaiting(operation))
    if (waiting.length === 0) return undefined
    return `${waiting.join()} of ${topicPartition.topic}-${topicPartition.partition}, ${groupId} (${lastRetry})`
  }
}

function habitOf(dice: number): Habit {
  let sum = 0
  for (const [operation, share] of operations) if (dice < (sum += share)) return operation
  return 'fetchData'
}
