import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import sinon from 'sinon'
import { OverloadedError } from '../../../src/core/errors.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { LongList, LongLists, type MadeList } from '../../../src/http/api/long-lists.js'
import { wholeOf } from '../../../src/http/exchange/pieced-body.js'
import type { TopicMetadata } from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { accessByHeader, serve, serveBridge } from './stage.js'

const LISTINGS = 30
const MIB = 1024 * 1024
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
class HeldVerbs extends FakeVerbs {
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
  let verbs: HeldVerbs
  beforeEach(async () => {
    verbs = new HeldVerbs()
    app = await serve(verbs, {}, { access: accessByHeader, clock: () => 0 })
  })
  afterEach(() => app.close())

  const nextTick = () => new Promise<void>(resolve => setImmediate(resolve))
  async function held(count: number): Promise<void> {
    while (verbs.held.length < count) await nextTick()
    for (const answer of verbs.held.splice(0)) answer()
  }

  for (const [path, items, api] of [
    ['/topics', TOPICS],
    ['/v3/clusters/c1/topics', TOPICS],
    ['/v3/clusters/c1/brokers/1/partition-replicas', TOPICS],
    ['/v3/clusters/c1/topics/-/configs', 2 * TOPICS],
    ['/topics/wide/partitions', TOPICS],
    ['/v3/clusters/c1/topics/wide/partitions', TOPICS],
    ['/topics', TOPICS, 'Strimzi'],
    ['/topics/wide/partitions', TOPICS, 'Strimzi'],
    ['/topics/wide', TOPICS, 'Strimzi']
  ] as const) {
    it(`of ${path}${api === undefined ? '' : ` of ${api}'s API`} that have their data at the same moment are written in different ticks`, async () => {
      if (api === 'Strimzi') {
        await app.close()
        app = await serveBridge(verbs, { access: accessByHeader, clock: () => 0 })
      }
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
        expect(list.data ?? list.partitions ?? list).to.have.length(items)
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

  it('have no body for HEAD, but its length', async () => {
    const url = '/v3/clusters/c1/topics/-/configs'
    const ask = async (method: 'GET' | 'HEAD') => {
      const asked = app.inject({ method, url, headers: { 'x-client': 'one' } })
      await held(1)
      return asked
    }
    const [got, head] = [await ask('GET'), await ask('HEAD')]
    expect([head.body, head.headers['content-length']]).to.deep.equal(['', String(got.rawPayload.length)])
  })

  it('of settings are described in portions', async () => {
    const asked = app.inject({ url: '/v3/clusters/c1/topics/-/configs', headers: { 'x-client': 'one' } })
    await held(1)
    const { data } = (await asked).json()
    expect(data.map((one: { topic_name: string }) => one.topic_name)).to.deep.equal(NAMES.flatMap(name => [name, name]))
    expect(verbs.described).to.deep.equal(Array.from({ length: 10 }, () => 50))
  })

  describe('by themselves', () => {
    const open = {} as ServerResponse
    let budget: RecordBudget
    beforeEach(() => (budget = new RecordBudget(MIB, () => 0)))

    it('are JSON with none, one and many items', async () => {
      for (const count of [0, 1, 2, 10_000]) {
        const items = Array.from({ length: count }, (_, at) => ({ at, text: 'a text of some length' }))
        const made = await new LongLists(budget).make(new LongList('numbers', '{"data":[', items, ']}'), 'one', open)
        const text = JSON.stringify({ data: items })
        expect(wholeOf(made!.body).toString()).to.equal(text)
        expect(budget.bytesOf('one')).to.equal(text.length)
        made!.held.release()
      }
    })

    it('that fail, or whose client has left, let the next one be written', async () => {
      const lists = new LongLists(budget)
      function* broken(): Iterable<number> {
        yield 1
        throw new Error('made up for a test')
      }
      const left = { destroyed: true } as ServerResponse
      const results = await Promise.allSettled([
        lists.make(new LongList('numbers', '[', broken(), ']'), 'one', open),
        lists.make(new LongList('numbers', '[', [2], ']'), 'one', left),
        lists.make(new LongList('numbers', '[', [3], ']'), 'one', open)
      ])
      expect(results.map(({ status }) => status)).to.deep.equal(['rejected', 'fulfilled', 'fulfilled'])
      expect(results.map(result => (result.status === 'fulfilled' ? result.value?.body : 'failed'))).to.deep.equal([
        'failed',
        undefined,
        '[3]'
      ])
      expect(budget.heldBytes).to.equal(3)
      for (const result of results) if (result.status === 'fulfilled') result.value?.held.release()
    })

    describe('of which a client has made more than it has capacity for', () => {
      const ITEM = 'x'.repeat(10_000)
      const FEW = 3 * MIB
      let clock: sinon.SinonFakeTimers
      const made = new Map<string, MadeList | 'refused'>()
      const make = (client: string, bytes: number) => {
        const response = new EventEmitter() as ServerResponse
        const items = Array.from({ length: bytes / ITEM.length }, () => ITEM)
        const making = new LongLists(budget).make(new LongList('numbers', '[', items, ']'), client, response)
        void making.then(
          list => list && made.set(client, list),
          (error: Error) => made.set(client, error instanceof OverloadedError ? 'refused' : (error.message as never))
        )
        return response
      }
      const pass = async (): Promise<void> => {
        for (let tick = 0; tick < 3 * (FEW / (64 * 1024)); tick++) await nextTick()
      }
      beforeEach(() => {
        budget = new RecordBudget(4 * MIB, () => 0)
        clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
      })
      afterEach(() => {
        for (const list of made.values()) if (list !== 'refused') list.held.release()
        made.clear()
        clock.restore()
        expect(budget.heldBytes).to.equal(0)
      })
      const waiting = (): string[] => ['a', 'b', 'c'].filter(client => !made.has(client))

      it('are made in any case where no other is', async () => {
        make('a', FEW)
        await pass()
        expect(waiting()).to.deep.equal(['b', 'c'])
        expect(budget.bytesOf('a')).to.be.within(FEW - ITEM.length, 2 * FEW)
      })

      it('are made one at a time, and the next one when the answer before it has left', async () => {
        for (const client of ['a', 'b', 'c']) make(client, FEW)
        for (const rest of [2, 1]) {
          await pass()
          expect(waiting()).to.have.length(rest)
          expect(budget.heldBytes, 'no more than all may have, and one list').to.be.below(4 * MIB + 2 * FEW)
          for (const list of made.values()) (list as MadeList).held.release()
        }
        await pass()
        expect(waiting()).to.deep.equal([])
      })

      it('are refused after 10 s, and hold nothing then, nor when their client has left', async () => {
        make('a', FEW)
        await pass()
        make('b', FEW)
        const left = make('c', FEW)
        await pass()
        expect(waiting()).to.deep.equal(['b', 'c'])
        left.emit('close')
        await clock.tickAsync(10_000)
        await pass()
        expect(made.get('b')).to.equal('refused')
        expect([budget.bytesOf('b'), budget.bytesOf('c')]).to.deep.equal([0, 0])
      })
    })
  })
})
