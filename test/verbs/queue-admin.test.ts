import { expect } from 'chai'
import { DeadLettersError } from '../../src/consumer/queue/queue-verbs.js'
import type { ActorRef } from '../../src/core/actor/actor.js'
import { performanceClock } from '../../src/core/clocks.js'
import { KafkaError } from '../../src/core/errors.js'
import type { RequestOf, RouterMessage } from '../../src/router/messages/operations.js'
import { kafkaFailure } from '../../src/router/requests/failures.js'
import { KafkaAdmin } from '../../src/verbs/kafka-admin.js'
import { KafkaQueueAdmin } from '../../src/verbs/queue-admin.js'

const DEFAULTS = {
  'share.auto.offset.reset': 'latest',
  'share.record.lock.duration.ms': '30000',
  'share.delivery.count.limit': '5'
}
const DEAD_LETTERS = 'errors.deadletterqueue.topic.name'

type Configs = Readonly<Record<string, string>>

/** A Kafka with one topic, `orders`, and the settings of groups and topics. */
class ScriptedKafka implements ActorRef<RouterMessage> {
  readonly path = 'kafka'
  /** What each group and topic has set; a topic that is absent does not exist. */
  readonly groups = new Map<string, Configs>()
  readonly topics = new Map<string, Configs>([['orders', {}]])
  defaults: Configs = DEFAULTS
  refuses: 'settings' | 'offsets' | undefined
  offsets: { topic: string; partition: number; startOffset: number; lag: number }[] = []
  members: object[] | undefined
  /** What a group of consumers of this name is, if there is one. */
  otherKind: 'describeGroup' | 'describeConsumerGroup' | undefined
  hidesKinds = false

  readonly admin = new KafkaQueueAdmin(
    this,
    new KafkaAdmin({ router: this, delivery: {}, clock: performanceClock }),
    performanceClock
  )

  stop(): void {}

  tell(message: RouterMessage): void {
    if (!('requester' in message)) return
    const answer = (message.requester as { reply(result: unknown): void }).reply.bind(message.requester)
    setImmediate(() => answer(this.#answerTo(message as RequestOf<'describeConfigs'> | RequestOf<'alterConfigs'>)))
  }

  #answerTo(message: { readonly type: string }): object {
    const denied = kafkaFailure(30)
    switch (message.type) {
      case 'fetchTopicMetadata': {
        const partitions = [0, 1].map(partition => ({ partition, errorCode: 0, leaderId: 1 }))
        const topics = new Map([['orders', { topic: 'orders', errorCode: 0, topicId: undefined, partitions }]])
        return { type: 'success', topics, brokers: [] }
      }
      case 'describeCluster':
        return { type: 'success', clusterId: null, controllerId: 1, brokers: [] }
      case 'describeConfigs':
        return this.refuses === 'settings' ? denied : this.#describe(message as RequestOf<'describeConfigs'>)
      case 'alterConfigs':
        return this.#alter(message as RequestOf<'alterConfigs'>)
      case 'fetchShareOffsets':
        return this.refuses === 'offsets' ? denied : { type: 'success', offsets: this.offsets }
      case 'describeShareGroup':
        return this.members === undefined
          ? { type: 'notFound' }
          : { type: 'success', state: 'Stable', members: this.members }
      case 'describeGroup':
      case 'describeConsumerGroup':
        if (this.hidesKinds) return denied
        return this.otherKind === message.type ? { type: 'success', state: 'Empty', members: [] } : { type: 'notFound' }
      default:
        throw new Error(message.type)
    }
  }

  #describe({ resources: [resource] }: RequestOf<'describeConfigs'>): object {
    const { type, name } = resource!
    const own = type === 'group' ? (this.groups.get(name) ?? {}) : this.topics.get(name)
    if (own === undefined) return { type: 'success', configs: new Map() }
    const all = Object.entries({ ...(type === 'group' && this.defaults), ...own })
    const configs = all.map(([setting, value]) => {
      const source = Object.hasOwn(own, setting) ? `DYNAMIC_${type.toUpperCase()}_CONFIG` : 'DEFAULT_CONFIG'
      return { name: setting, value, source, isReadOnly: false, isSensitive: false, synonyms: [] }
    })
    return { type: 'success', configs: new Map([[name, configs]]) }
  }

  #alter({ resource, changes }: RequestOf<'alterConfigs'>): object {
    const set = new Map(Object.entries(this.groups.get(resource.name) ?? {}))
    for (const { name, value } of changes) {
      if (value === 'too much') return kafkaFailure(40, 'out of bounds')
      if (value === null) set.delete(name)
      else set.set(name, value)
    }
    this.groups.set(resource.name, Object.fromEntries(set))
    return { type: 'success' }
  }
}

describe('what queues ask of Kafka', () => {
  it('finds that a group is new, and what its settings would be', async () => {
    const { admin } = new ScriptedKafka()
    expect(await admin.find('orders', 'workers', 1_000)).to.deep.equal({
      settings: { start: 'latest', lockMs: 30_000, deliveryLimit: 5, deadLetters: null, isolation: 'readUncommitted' },
      hasStart: false,
      hasTopic: false,
      otherTopics: [],
      hasIsolation: false,
      exists: false,
      hides: []
    })
  })

  it('finds that a group has a start, or a state of the topic', async () => {
    const kafka = new ScriptedKafka()
    kafka.groups.set('workers', { 'share.auto.offset.reset': 'by_duration:PT1H' })
    const found = await kafka.admin.find('orders', 'workers', 1_000)
    expect(found).to.include({ hasStart: true, hasTopic: false, exists: true })
    expect(found.settings?.start).to.equal('PT1H')
    kafka.offsets = [{ topic: 'orders', partition: 0, startOffset: -1, lag: -1 }]
    expect(await kafka.admin.find('orders', 'others', 1_000)).to.include({
      hasStart: false,
      hasTopic: true,
      exists: true
    })
  })

  it('finds the other topics for which a group has a state', async () => {
    const kafka = new ScriptedKafka()
    const others = ['returns', 'bills', 'returns'].map(topic => ({ topic, partition: 0, startOffset: 3, lag: 1 }))
    kafka.offsets = others
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.deep.include({
      hasTopic: false,
      otherTopics: ['bills', 'returns']
    })
    kafka.offsets = [...others, { topic: 'orders', partition: 0, startOffset: 3, lag: 1 }]
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.deep.include({ hasTopic: true })
  })

  it('tells what Kafka hides as not known, and with which right it would tell', async () => {
    const kafka = new ScriptedKafka()
    kafka.refuses = 'settings'
    const state = [{ topic: 'orders', partition: 0, startOffset: 3, lag: 1 }]
    const settingsHidden = { settings: undefined, hasStart: undefined, otherTopics: [], hides: ['DESCRIBE_CONFIGS'] }
    const isHidden = { hasIsolation: undefined, exists: undefined }
    const isOld = { hasIsolation: true, exists: true }
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.deep.equal({
      ...settingsHidden,
      ...isHidden,
      hasTopic: false
    })
    kafka.offsets = state
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.deep.equal({
      ...settingsHidden,
      ...isOld,
      hasTopic: true
    })
    kafka.refuses = 'offsets'
    const stateHidden = { hasTopic: undefined, otherTopics: [], hides: ['DESCRIBE'] }
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.deep.include({
      ...stateHidden,
      ...isHidden,
      hasStart: false
    })
    kafka.groups.set('workers', { 'share.auto.offset.reset': 'earliest' })
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.deep.include({
      ...stateHidden,
      hasStart: true,
      hasIsolation: undefined,
      exists: true
    })
  })

  it('refuses a topic that does not exist', async () => {
    const { admin } = new ScriptedKafka()
    const error = await admin.find('others', 'workers', 1_000).catch(thrown => thrown)
    expect(error).to.include({ code: 'unknownTopic' })
  })

  it('changes what is named, and resets what is null', async () => {
    const kafka = new ScriptedKafka()
    kafka.groups.set('workers', { 'share.delivery.count.limit': '7' })
    const changed = await kafka.admin.configure('orders', 'workers', { start: 'PT1H', lockMs: 20_000 }, 1_000)
    expect(changed).to.deep.equal({
      start: 'PT1H',
      lockMs: 20_000,
      deliveryLimit: 7,
      deadLetters: null,
      isolation: 'readUncommitted'
    })
    expect(kafka.groups.get('workers')).to.include({ 'share.auto.offset.reset': 'by_duration:PT1H' })
    const reset = await kafka.admin.configure('orders', 'workers', { start: null, deliveryLimit: null }, 1_000)
    expect(reset).to.deep.equal({
      start: 'latest',
      lockMs: 20_000,
      deliveryLimit: 5,
      deadLetters: null,
      isolation: 'readUncommitted'
    })
  })

  it('sets and resets the isolation', async () => {
    const kafka = new ScriptedKafka()
    const set = await kafka.admin.configure('orders', 'workers', { isolation: 'readCommitted' }, 1_000)
    expect([set.isolation, kafka.groups.get('workers')]).to.deep.equal([
      'readCommitted',
      { 'share.isolation.level': 'read_committed' }
    ])
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.include({ hasIsolation: true })
    const reset = await kafka.admin.configure('orders', 'workers', { isolation: null }, 1_000)
    expect([reset.isolation, kafka.groups.get('workers')]).to.deep.equal(['readUncommitted', {}])
    kafka.offsets = [{ topic: 'others', partition: 0, startOffset: 1, lag: 0 }]
    expect(await kafka.admin.find('orders', 'workers', 1_000), 'of a group with a state').to.include({
      hasIsolation: true
    })
  })

  for (const kind of ['describeGroup', 'describeConsumerGroup'] as const)
    it(`refuses a group of another kind before it changes anything of it: ${kind} knows the group`, async () => {
      const kafka = new ScriptedKafka()
      kafka.otherKind = kind
      const { admin } = kafka
      for (const call of [
        () => admin.find('orders', 'workers', 1_000),
        () => admin.configure('orders', 'workers', { start: 'earliest' }, 1_000),
        () => admin.describe('orders', 'workers', 1_000)
      ]) {
        const error: KafkaError = await call().catch(thrown => thrown)
        expect(error).to.be.instanceOf(KafkaError).that.includes({ errorCode: 69, retriable: false })
        expect(error.message).to.include('of another kind')
      }
      expect(kafka.groups.size).to.equal(0)
    })

  it('takes a group for a share group where Kafka hides whether it is of another kind', async () => {
    const kafka = new ScriptedKafka()
    kafka.hidesKinds = true
    expect(await kafka.admin.find('orders', 'workers', 1_000)).to.include({ exists: false })
    expect(await kafka.admin.configure('orders', 'workers', { lockMs: 20_000 }, 1_000)).to.include({ lockMs: 20_000 })
    expect(await kafka.admin.describe('orders', 'workers', 1_000)).to.include({ state: 'absent' })
  })

  it('changes no settings by way of a topic that does not exist', async () => {
    const kafka = new ScriptedKafka()
    const error = await kafka.admin.configure('others', 'workers', { lockMs: 20_000 }, 1_000).catch(thrown => thrown)
    expect(error).to.include({ code: 'unknownTopic' })
    expect(kafka.groups.size).to.equal(0)
  })

  it('passes on what Kafka refuses', async () => {
    const { admin } = new ScriptedKafka()
    const error = await admin.configure('orders', 'workers', { start: 'too much' }, 1_000).catch(thrown => thrown)
    expect(error).to.be.instanceOf(KafkaError).that.includes({ errorCode: 40, message: 'out of bounds' })
  })

  it('names each step without which Kafka copies no dead letters', async () => {
    const kafka = new ScriptedKafka()
    const configure = (deadLetters: string | null) =>
      kafka.admin.configure('orders', 'workers', { deadLetters }, 1_000).catch(thrown => thrown)
    expect(await configure('dlq.orders')).to.include({ errorCode: 35 })
    expect(await configure(null), 'what this Kafka has not is none already').to.include({ deadLetters: null })
    expect(kafka.groups.size).to.equal(0)
    kafka.defaults = { ...DEFAULTS, [DEAD_LETTERS]: '' }
    for (const [topic, step] of [
      ['orders', 'dlq.'],
      ['dlq.orders', 'does not exist']
    ] as const) {
      const error = await configure(topic)
      expect(error).to.be.instanceOf(DeadLettersError)
      expect(error.message).to.include(step)
    }
    kafka.topics.set('dlq.orders', {})
    expect((await configure('dlq.orders')).message).to.include('errors.deadletterqueue.group.enable=true')
    expect(kafka.groups.get('workers')).to.equal(undefined)
    kafka.topics.set('dlq.orders', { 'errors.deadletterqueue.group.enable': 'true' })
    expect(await configure('dlq.orders')).to.include({ deadLetters: 'dlq.orders' })
    expect(kafka.groups.get('workers')).to.include({ 'errors.deadletterqueue.copy.record.enable': 'true' })
    expect(await configure(null)).to.include({ deadLetters: null })
    expect(kafka.groups.get('workers')).to.deep.equal({})
  })

  it('describes a group that is absent', async () => {
    const { admin } = new ScriptedKafka()
    expect(await admin.describe('orders', 'workers', 1_000)).to.deep.equal({
      state: 'absent',
      members: [],
      partitions: [0, 1].map(partition => ({ partition, startOffset: null, lag: null })),
      settings: { start: 'latest', lockMs: 30_000, deliveryLimit: 5, deadLetters: null, isolation: 'readUncommitted' },
      topics: []
    })
  })

  it('describes the members and the partitions of one topic, and names all topics', async () => {
    const kafka = new ScriptedKafka()
    const member = { memberId: 'a', clientId: 'c', clientHost: '/10.0.0.1', epoch: 3 }
    kafka.members = [
      { ...member, topics: ['orders', 'others'], assignment: new Map([['orders', [1]]]) },
      { ...member, memberId: 'b', topics: ['others'], assignment: new Map() }
    ]
    kafka.offsets = [
      { topic: 'orders', partition: 1, startOffset: 7, lag: 3 },
      { topic: 'former', partition: 0, startOffset: 1, lag: 1 }
    ]
    expect(await kafka.admin.describe('orders', 'workers', 1_000)).to.deep.include({
      state: 'Stable',
      members: [{ memberId: 'a', clientId: 'c', clientHost: '/10.0.0.1', partitions: [1] }],
      partitions: [
        { partition: 0, startOffset: null, lag: null },
        { partition: 1, startOffset: 7, lag: 3 }
      ],
      topics: ['former', 'orders', 'others']
    })
  })
})
