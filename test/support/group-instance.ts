import { openCastellan, type ProgramCastellan } from '../../src/client/open-castellan.js'
import { acksIn } from '../../src/consumer/group/ack-encoding.js'
import type { ConsumedMessage, ConsumeResult } from '../../src/consumer/group/consume-result.js'
import type { ConsumerSettingsOverrides } from '../../src/consumer/group/settings.js'
import { askRouter } from '../../src/index.js'

export interface Produced {
  readonly partition: number
  readonly offset: number
}

/** One process with consumer groups, as a test sees it. */
export class GroupInstance {
  readonly castellan: ProgramCastellan

  private constructor(castellan: ProgramCastellan) {
    this.castellan = castellan
  }

  /** Acks and hand-overs are quick, so that tests are. */
  static async start(
    bootstrap: string,
    consumer: ConsumerSettingsOverrides = {},
    clientId = 'castellan'
  ): Promise<GroupInstance> {
    const quick = { sessionTimeoutMs: 6_000, heartbeatIntervalMs: 100, commitIntervalMs: 50, revocationMs: 500 }
    const settings = { ...quick, ...consumer }
    return new GroupInstance(await openCastellan({ brokers: bootstrap, connection: { clientId }, consumer: settings }))
  }

  consume(group: string, topic: string, timeoutMs = 10_000): Promise<ConsumeResult> {
    return this.castellan.groups.consume(group, topic, timeoutMs)
  }

  /** The next message; fails the test when there is none. */
  async next(group: string, topic: string, timeoutMs = 10_000): Promise<ConsumedMessage> {
    const result = await this.consume(group, topic, timeoutMs)
    if (result.type !== 'message') throw new Error(`${group} ${topic}: ${JSON.stringify(result)}`)
    return result.message
  }

  /** So many messages, each acknowledged at once. */
  async take(group: string, topic: string, count: number): Promise<ConsumedMessage[]> {
    const messages: ConsumedMessage[] = []
    while (messages.length < count) {
      const message = await this.next(group, topic)
      message.ack()
      messages.push(message)
    }
    return messages
  }

  async produce(topic: string, partition: number, values: readonly string[]): Promise<Produced[]> {
    const records = values.map(value => ({ topic, partition, key: null, value }))
    const { outcomes } = await askRouter(this.castellan.router.ref, { type: 'produce', records })
    return outcomes.map(outcome => {
      if (outcome.type !== 'delivered') throw new Error(JSON.stringify(outcome))
      return outcome
    })
  }

  /** The committed offset, and acknowledged ranges above it relative to it: `7 1-4,6-8`. */
  async committed(groupId: string, topic: string, partition: number): Promise<string> {
    const request = { groupId, topicPartition: { topic, partition }, rawMetadata: true } as const
    const result = await askRouter(this.castellan.router.ref, { type: 'fetchConsumerOffset', ...request })
    if (result.type === 'notFound') return 'none'
    if (result.type !== 'success') throw new Error(JSON.stringify(result))
    const { offset, metadata = '' } = result.offsetAndMetadata
    const ranges = acksIn({ offset, metadata })!.map(({ from, to }) => `${from - offset}-${to - offset}`)
    return `${offset} ${ranges.join()}`.trim()
  }

  stop(): Promise<number> {
    return this.castellan.close({ timeoutMs: 5_000 })
  }
}
