import type { GroupOffset, GroupReader, ReadersOnly, TopicMetadata } from '../../../src/verbs/verbs.js'
import { PlayedVerbs } from './play.js'

/** What brokers say is the test's; questions are kept. */
export class LookUpVerbs extends PlayedVerbs {
  metadata: ReadonlyMap<string, TopicMetadata> = new Map()
  configs: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map()
  standing: readonly GroupOffset[] | undefined
  members: ReadonlyMap<string, readonly GroupReader[]> = new Map()
  error: unknown

  #answer<Answer>(asked: unknown[], answer: Answer): Promise<Answer> {
    this.asked.push(asked)
    return this.error === undefined ? Promise.resolve(answer) : Promise.reject(this.error)
  }

  override topics(...asked: [readonly string[] | 'all', number]): Promise<ReadonlyMap<string, TopicMetadata>> {
    return this.#answer(['topics', ...asked], this.metadata)
  }

  override topicConfigs(...asked: unknown[]): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    return this.#answer(['configs', ...asked], this.configs)
  }

  override offsets(...asked: unknown[]): Promise<readonly GroupOffset[] | undefined> {
    return this.#answer(['offsets', ...asked], this.standing)
  }

  override consumers(
    groups: readonly string[] | 'all',
    timeoutMs: number,
    { topic, includes = () => true }: ReadersOnly = {}
  ): Promise<ReadonlyMap<string, readonly GroupReader[]>> {
    const told = [...this.members].filter(([group]) => includes(group))
    return this.#answer(['consumers', groups, timeoutMs, topic], new Map(told))
  }
}

export const topic = (name: string, errorCode = 0, leaders: readonly number[] = []): TopicMetadata => ({
  errorCode,
  topic: name,
  topicId: undefined,
  isInternal: false,
  partitions: leaders.map((leaderId, partition) => ({
    errorCode: 0,
    partition,
    leaderId,
    leaderEpoch: 0,
    replicas: [1, 2],
    isr: [2],
    offlineReplicas: []
  }))
})
export const topics = (...all: TopicMetadata[]) => new Map(all.map(one => [one.topic, one]))
export const member = (
  clientId: string,
  memberId: string,
  partitions: object,
  instanceId: string | null = null
): GroupReader => ({
  memberId,
  instanceId,
  clientId,
  clientHost: '/127.0.0.1',
  partitions: new Map(Object.entries(partitions))
})
