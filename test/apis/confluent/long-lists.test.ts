import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { confluent } from '../../../src/apis/confluent/api.js'
import { type ListReader, LongList, LongLists } from '../../../src/apis/confluent/long-lists.js'
import type { TopicMetadata } from '../../../src/gateway/gateway.js'
import { openAccess } from '../../../src/http/access/access.js'
import { contextFor } from '../../support/api-context.js'
import { FakeGateway } from '../../support/fake-gateway.js'

const LISTINGS = 30
/** Their resources fill several portions. The settings of more than 1,000 topics would be refused. */
const TOPICS = 500
const NAMES = Array.from({ length: TOPICS }, (_, at) => `topic-${String(at).padStart(4, '0')}`)

const topicOf = (topic: string): TopicMetadata => ({
  errorCode: 0,
  topic,
  topicId: undefined,
  isInternal: false,
  partitions: [
    { errorCode: 0, partition: 0, leaderId: 1, leaderEpoch: 0, replicas: [1], isr: [1], offlineReplicas: [] }
  ]
})

const settingOf = (name: string) => {
  const source = 'DEFAULT_CONFIG' as const
  return { name, value: 'x'.repeat(100), isDefault: true, isReadOnly: false, isSensitive: false, source, synonyms: [] }
}

const BROKER = { nodeId: 1, host: 'broker', port: 9092, rack: null }

/** All requests for topics are answered at the same moment. */
class HeldGateway extends FakeGateway {
  readonly held: (() => void)[] = []
  readonly described: number[] = []

  constructor() {
    super()
    const found = new Map(NAMES.map(name => [name, topicOf(name)]))
    const partitions = Array.from({ length: TOPICS }, (_, partition) => ({
      ...topicOf('wide').partitions[0]!,
      partition
    }))
    const wide = new Map([['wide', { ...topicOf('wide'), partitions }]])
    this.topics = names => new Promise(resolve => this.held.push(() => resolve(names === 'all' ? found : wide)))
    this.admin = {
      ...this.admin,
      clusterId: async () => 'c1',
      describeCluster: async () => ({ clusterId: 'c1', controllerId: 1, brokers: [BROKER] }),
      describeConfigs: async resources => {
        this.described.push(resources.length)
        return new Map(
          resources.map(resource => [
            resource.type === 'topic' ? resource.name : '1',
            [settingOf('retention.ms'), settingOf('segment.bytes')]
          ])
        )
      }
    }
  }
}

describe('confluent: long lists', () => {
  let app: FastifyInstance
  let gateway: HeldGateway
  beforeEach(async () => {
    gateway = new HeldGateway()
    const access = {
      ...openAccess,
      callerOf: (request: Parameters<typeof openAccess.callerOf>[0]) => ({
        ...openAccess.callerOf(request),
        principal: String(request.headers['x-client'])
      })
    }
    const addRoutes = await confluent.plugin(
      contextFor(gateway, confluent.settings.parse({ lookUpTimeoutMs: 600_000 }), { access }) as never
    )
    app = fastify()
    await app.register(async scope => addRoutes(scope))
  })
  afterEach(() => app.close())

  const nextTick = () => new Promise<void>(resolve => setImmediate(resolve))
  async function held(count: number): Promise<void> {
    while (gateway.held.length < count) await nextTick()
    for (const answer of gateway.held.splice(0)) answer()
  }

  for (const [path, items] of [
    ['/topics', TOPICS],
    ['/v3/clusters/c1/topics', TOPICS],
    ['/v3/clusters/c1/brokers/1/partition-replicas', TOPICS],
    ['/v3/clusters/c1/topics/-/configs', 2 * TOPICS],
    ['/topics/wide/partitions', TOPICS],
    ['/v3/clusters/c1/topics/wide/partitions', TOPICS]
  ] as const) {
    it(`of ${path} that have their data at the same moment are written in different ticks`, async () => {
      let tick = 0
      const ticks: number[] = []
      const asked = Array.from({ length: LISTINGS }, async () => {
        const answer = await app.inject({ url: path, headers: { 'x-client': 'greedy' } })
        ticks.push(tick)
        return answer
      })
      await held(LISTINGS)
      while (ticks.length < LISTINGS) {
        await nextTick()
        tick++
      }
      expect(new Set(ticks).size, 'ticks with answers').to.be.at.least(LISTINGS / 2)
      for (const answer of await Promise.all(asked)) {
        expect(answer.statusCode).to.equal(200)
        const list = answer.json()
        expect(path.startsWith('/v3') ? list.data : list).to.have.length(items)
      }
    })
  }

  it('of one client are not in front of the list of another', async () => {
    const order: string[] = []
    const ask = async (client: string): Promise<void> => {
      await app.inject({ url: '/v3/clusters/c1/topics', headers: { 'x-client': client } })
      order.push(client)
    }
    const all = [...Array.from({ length: LISTINGS }, () => ask('greedy')), ask('other')]
    await held(LISTINGS + 1)
    await Promise.all(all)
    expect(order.indexOf('other')).to.be.below(3)
  })

  it('of settings are described in portions', async () => {
    const asked = app.inject({ url: '/v3/clusters/c1/topics/-/configs', headers: { 'x-client': 'one' } })
    await held(1)
    const { data } = (await asked).json()
    expect(data.map((one: { topic_name: string }) => one.topic_name)).to.deep.equal(NAMES.flatMap(name => [name, name]))
    expect(gateway.described).to.deep.equal(Array.from({ length: 10 }, () => 50))
  })

  describe('by themselves', () => {
    const reader = (response: object = {}): ListReader => ({
      client: 'one',
      response: response as ListReader['response']
    })
    const textOf = async (list: LongList): Promise<string> => {
      let text = ''
      await new LongLists().write(list, reader(), written => {
        text = written
      })
      return text
    }

    it('are JSON with none, one and many items', async () => {
      for (const count of [0, 1, 2, 10_000]) {
        const items = Array.from({ length: count }, (_, at) => ({ at, text: 'a text of some length' }))
        const text = await textOf(new LongList('numbers', '{"data":[', items, ']}'))
        expect(text).to.equal(JSON.stringify({ data: items }))
      }
    })

    it('that fail, or whose client has left, let the next one be written', async () => {
      const lists = new LongLists()
      function* broken(): Iterable<number> {
        yield 1
        throw new Error('made up for a test')
      }
      const sent: string[] = []
      const send = (text: string): void => void sent.push(text)
      const results = await Promise.allSettled([
        lists.write(new LongList('numbers', '[', broken(), ']'), reader(), send),
        lists.write(new LongList('numbers', '[', [2], ']'), reader({ destroyed: true }), send),
        lists.write(new LongList('numbers', '[', [3], ']'), reader(), send)
      ])
      expect(results.map(({ status }) => status)).to.deep.equal(['rejected', 'fulfilled', 'fulfilled'])
      expect(sent).to.deep.equal(['[3]'])
    })

    it('whose client leaves during the last item do not count as unread', async () => {
      const lists = new LongLists()
      const closed = { destroyed: false, once: () => {} }
      async function* leaving(): AsyncIterable<string> {
        yield 'x'.repeat(5 * 1024 * 1024)
        closed.destroyed = true
      }
      let sent = 0
      const send = () => void sent++
      const first = lists.write(new LongList('texts', '[', leaving(), ']'), reader(closed), send)
      for (let tick = 0; tick < 20; tick++) await nextTick()
      await lists.write(new LongList('others', '[', [1], ']'), reader({ once: () => {} }), send)
      await first
      expect(sent).to.equal(1)
    })

    it('that are not read are at most 4 MiB of each client, and one more', async () => {
      const lists = new LongLists()
      const over: (() => void)[] = []
      const unread = { once: (event: string, done: () => void) => void (event === 'close' && over.push(done)) }
      const written: Promise<void>[] = []
      let sent = 0
      const ask = (client: string, kind: string): void => {
        const list = new LongList(kind, '[', ['x'.repeat(1.5 * 1024 * 1024)], ']')
        written.push(lists.write(list, { client, response: unread as never }, () => void sent++))
      }
      for (let at = 0; at < 20; at++) ask('one', `kind ${at % 2}`)
      for (let tick = 0; tick < 100; tick++) await nextTick()
      expect(sent).to.be.within(3, 4)
      ask('other', 'kind 0')
      await written.at(-1)
      expect(over).to.have.length(sent)
      while (sent < written.length) {
        for (const leave of over.splice(0)) leave()
        await nextTick()
      }
      for (const leave of over.splice(0)) leave()
      await Promise.all(written)
    })

    it('that are huge leave one after another', async () => {
      const lists = new LongLists()
      const huge = () => new LongList('texts', '[', ['x'.repeat(5 * 1024 * 1024)], ']')
      const over: (() => void)[] = []
      const response = { once: (event: string, done: () => void) => void (event === 'finish' && over.push(done)) }
      let sent = 0
      const both = [0, 1].map(() => lists.write(huge(), reader(response), () => void sent++))
      while (over.length === 0) await nextTick()
      for (let tick = 0; tick < 10; tick++) await nextTick()
      expect(sent).to.equal(1)
      over.shift()!()
      while (over.length === 0) await nextTick()
      expect(sent).to.equal(2)
      over.shift()!()
      await Promise.all(both)
    })
  })
})
