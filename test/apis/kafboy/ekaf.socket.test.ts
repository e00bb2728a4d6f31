import { expect } from 'chai'
import type { KafboyEvent, KafboyHooks } from '../../../src/apis/kafboy/hooks/hooks.js'
import type { KafboySettings } from '../../../src/apis/kafboy/settings.js'
import type { TopicMetadata } from '../../../src/verbs/verbs.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { brief, placed, type Served, serve, taken, untilTaken } from './stage.js'

let served: Served

const gatewayWith = (partitions: number): FakeVerbs => {
  const verbs = new FakeVerbs()
  verbs.partitions.set('t', partitions)
  return verbs
}

describe('ekaf: the strategies', () => {
  const time = { nowMs: 0 }
  afterEach(() => served.close())
  const start = async (settings: Partial<KafboySettings>, verbs = gatewayWith(5), hooks?: KafboyHooks) => {
    served = await serve({ verbs, settings, clock: () => time.nowMs, ...(hooks && { hooks }) })
  }
  const post = async (times: number, topic = 't'): Promise<void> => {
    for (let i = 0; i < times; i++) await served.post(`/async/${topic}`, 'a=1')
  }

  it('ekaf 1: a topic has what is set for it, else what is set for all, else the default', async () => {
    const topics: KafboySettings['topics'] = [
      { topic: 'own', partitionStrategy: 'strict_round_robin' },
      { topic: 'own', partitionStrategy: 'custom' },
      { topic: '__proto__', partitionStrategy: 'strict_round_robin' },
      { topic: 'other', maxBufferRecords: 5 }
    ]
    await start({ topics })
    for (const topic of ['own', '__proto__', 'other', 'none']) await post(1, topic)
    expect(placed(served.verbs)).to.deep.equal(['phash2', 'roundRobin', 'random', 'random'])
    await served.close()
    await start({ topics, partitionStrategy: 'custom' })
    for (const topic of ['own', '__proto__', 'other', 'none']) await post(1, topic)
    expect(placed(served.verbs)).to.deep.equal(['phash2', 'roundRobin', 'phash2', 'phash2'])
  })

  const partitioners: [strategy: KafboySettings['partitionStrategy'], partitioner: string][] = [
    ['random', 'random'],
    ['strict_round_robin', 'roundRobin'],
    ['custom', 'phash2']
  ]
  for (const [partitionStrategy, partitioner] of partitioners) {
    it(`ekaf 14, 15, 17: the strategy ${partitionStrategy} is the partitioner ${partitioner} of delivery`, async () => {
      await start({ partitionStrategy, payload: 'fields' })
      for (const path of ['/async/t', '/sync/t', '/batch/async/t']) await served.post(path, 'a=1&b=2')
      expect(placed(served.verbs)).to.deep.equal(new Array(6).fill(partitioner))
    })
  }

  for (const partitionStrategy of ['sticky_round_robin', 'ordered_round_robin'] as const) {
    it(`ekaf 16: ${partitionStrategy} stays on a partition for its records, and moves once a second at most`, async () => {
      await start({ partitionStrategy, stickyPartitionRecords: 10 })
      for (let second = 0; second < 12; second++) {
        await post(15)
        time.nowMs += 1_000
      }
      const seconds = Array.from({ length: 12 }, (_, i) => new Set(placed(served.verbs).slice(i * 15, i * 15 + 15)))
      expect(seconds.every(({ size }) => size === 1)).to.equal(true)
      const partitions = seconds.map(([only]) => Number(only))
      expect(partitions.every((one, i) => one >= 0 && one < 5 && one !== partitions[i - 1])).to.equal(true)
    })
  }

  it('ekaf 16: sticky stays where it has not been used enough', async () => {
    await start({ partitionStrategy: 'sticky_round_robin' })
    for (let second = 0; second < 5; second++) {
      await post(10)
      time.nowMs += 1_000
    }
    expect(new Set(placed(served.verbs)).size).to.equal(1)
  })

  it('ekaf 12: added and removed partitions are seen after ten seconds, and a look-up that fails changes nothing', async () => {
    const verbs = gatewayWith(5)
    await start({ partitionStrategy: 'sticky_round_robin', stickyPartitionRecords: 1 }, verbs)
    await post(1)
    const counts: number[] = []
    const hooks: KafboyHooks = { pickPartition: ({ partitionCount }) => void counts.push(partitionCount) }
    await served.close()
    await start({ partitionStrategy: 'custom' }, verbs, hooks)
    await post(1)
    verbs.partitions.set('t', 3)
    await post(1)
    time.nowMs += 10_000
    // The first one asks, and is placed by what was known.
    await post(2)
    verbs.topics = () => Promise.reject(new Error('away'))
    time.nowMs += 10_000
    await post(3)
    expect(counts).to.deep.equal([5, 5, 5, 3, 3, 3, 3])
  })

  it('ekaf 17: the hook picks in the order of the records; what it leaves open goes round', async () => {
    const picked: string[] = []
    const pickPartition: KafboyHooks['pickPartition'] = ({ topic, key, value, partitionCount }) => {
      picked.push(`${topic} ${key}=${value} of ${partitionCount}`)
      if (String(key) === 'fails') throw new Error('on purpose')
      return String(key) === 'open' ? undefined : Number(key)
    }
    await start({ partitionStrategy: 'custom', payload: 'fields' }, gatewayWith(3), { pickPartition })
    const both = [served.post('/sync/t', '2=a&open=b&fails=c&3=d'), served.post('/sync/t', '0=e')]
    expect((await Promise.all(both)).map(brief)).to.deep.equal(['200 []', '200 []'])
    expect(picked).to.have.members(['2=a', 'open=b', 'fails=c', '3=d', '0=e'].map(one => `t ${one} of 3`))
    expect(placed(served.verbs).sort()).to.deep.equal(['0', '2', 'roundRobin', 'roundRobin', 'roundRobin'])
    expect(await served.counted()).to.include('kafboy_hook_problems_total{problem="stray"} 1')
  })

  it('a topic that nobody knows goes where the gateway says, and waits for no other', async () => {
    const verbs = gatewayWith(3)
    let lookUps = 0
    let answer: (found: ReadonlyMap<string, TopicMetadata>) => void = () => {}
    verbs.topics = () => {
      lookUps++
      return new Promise(resolve => (answer = resolve))
    }
    await start({ partitionStrategy: 'sticky_round_robin' }, verbs)
    const waiting = [...Array(10)].map(() => served.post('/async/t', 'a=1'))
    expect((await served.ask('GET', '/disco')).status).to.equal(200)
    answer(new Map())
    await Promise.all(waiting)
    await post(3)
    expect(placed(verbs)).to.deep.equal(new Array(13).fill('roundRobin'))
    expect(lookUps).to.equal(1)
  })

  describe('a topic that nobody knows, with a hook that picks', () => {
    const hooks: KafboyHooks = {
      pickPartition: ({ key }) => Number(key),
      editJson: async ({ body }, _answer, ekaf) =>
        body.length > 0 ? { produce: {} } : { status: 200, body: await ekaf.produceSync('t', { key: '1', value: 'x' }) }
    }
    const gatewayWithout = () => {
      const verbs = new FakeVerbs()
      const asked: Parameters<FakeVerbs['topics']>[] = []
      const { topics } = verbs
      verbs.topics = (...args) => {
        asked.push(args)
        return topics.apply(verbs, args)
      }
      return { verbs, asked }
    }
    const custom = { partitionStrategy: 'custom', payload: 'fields' } as const
    const start = async (settings: Partial<KafboySettings>, verbs: FakeVerbs, hooks: KafboyHooks) => {
      served = await serve({ verbs, settings, hooks, clock: () => performance.now() })
    }

    it('keeps its records until it is known, and the hook gets all of them, in their order', async () => {
      const { verbs, asked } = gatewayWithout()
      await start(custom, verbs, { pickPartition: hooks.pickPartition! })
      const waiting: Promise<unknown>[] = []
      for (const [path, value] of ['/async/t', '/sync/t', '/batch/async/t', '/async/t'].entries()) {
        waiting.push(served.post(value, `1=${path}&2=${path}`))
        while (asked.length <= path) await new Promise(setImmediate)
      }
      verbs.partitions.set('other', 1)
      await served.post('/async/other', '0=5')
      expect(verbs.records.map(({ topic }) => topic)).to.deep.equal(['other'])
      verbs.partitions.set('t', 3)
      await Promise.all(waiting)
      await served.post('/sync/t', '1=4')
      const of = (key: string) => verbs.records.filter(record => String(record.key) === key)
      expect(of('1').map(({ value, partition }) => `${value}@${partition}`)).to.deep.equal(
        [0, 1, 2, 3, 4].map(n => `${n}@1`)
      )
      expect(of('2').map(({ value, partition }) => `${value}@${partition}`)).to.deep.equal(
        [0, 1, 2, 3].map(n => `${n}@2`)
      )
      expect(asked[0]).to.deep.equal([['t'], 5_000, true])
    })

    for (const [what, topics, isReady, status, error, code] of [
      ['does not exist', undefined, true, 502, 3, 'unknownTopic'],
      ['is not found in time', () => Promise.reject(new Error('late')), true, 504, '"timeout"', 'timedOut'],
      ['is not found without a broker', () => Promise.reject(new Error('away')), false, 503, '"downtime"', 'timedOut']
    ] as const) {
      it(`refuses its records when it ${what} within the time limit`, async () => {
        const verbs = new FakeVerbs()
        verbs.isReady = isReady
        if (topics) verbs.topics = topics
        await start({ ...custom, syncTimeoutMs: 30 }, verbs, hooks)
        expect(brief(await served.post('/sync/t', '1=a&2=b'))).to.equal(
          `${status} [{"error":${error}},{"error":${error}}]`
        )
        for (const path of ['/async/t', '/batch/async/t']) {
          const answer = await served.post(path, '1=a')
          expect(brief(answer)).to.equal(`${status} {"error":${error}}`)
          expect(answer.headers['x-castellan-persisted']).to.equal('no')
        }
        expect(brief(await served.post('/async/t', ''))).to.match(/^200 \[\{"type":"failed","error":(3|"timeout")\}\]$/)
        expect(await served.counted()).to.include.members([
          `kafboy_failed_records_total{mode="sync",error="${code}"} 3`,
          `kafboy_failed_records_total{mode="async",error="${code}"} 1`
        ])
        expect(verbs.records).to.deep.equal([])
      })
    }

    it('refuses its records as overload while its creation waits its turn, and never as those of no topic', async () => {
      const { verbs } = gatewayWithout()
      const { topics } = verbs
      verbs.topics = async (...args) =>
        new Map(
          [...(await topics.apply(verbs, args))].map(([name, found]) => [name, { ...found, creationWaits: true }])
        )
      await start({ ...custom, syncTimeoutMs: 30 }, verbs, hooks)
      expect(brief(await served.post('/sync/t', '1=a&2=b'))).to.equal(
        '503 [{"error":"system queue full"},{"error":"system queue full"}]'
      )
      const { headers } = await served.post('/async/t', '1=a')
      expect(headers['x-castellan-persisted']).to.equal('no')
      expect(await served.counted()).to.include.members([
        'kafboy_failed_records_total{mode="sync",error="overloaded"} 2',
        'kafboy_failed_records_total{mode="async",error="overloaded"} 1'
      ])
    })

    it('refuses its records in time when each look-up takes long', async () => {
      const { verbs, asked } = gatewayWithout()
      const { topics } = verbs
      verbs.topics = async (...args) => {
        await new Promise(resolve => setTimeout(resolve, 20))
        return topics.apply(verbs, args)
      }
      await start({ ...custom, syncTimeoutMs: 400 }, verbs, hooks)
      expect(brief(await served.post('/sync/t', '1=a'))).to.equal('502 [{"error":3}]')
      expect(asked).to.have.lengthOf.within(1, 2)
    })

    for (const [errorCode, code] of [
      [17, 'invalidTopic'],
      [29, 'notAuthorized']
    ] as const) {
      it(`refuses its records at once with ${errorCode} when Kafka does, and says so`, async () => {
        const { verbs, asked } = gatewayWithout()
        const { topics } = verbs
        verbs.topics = async (...args) =>
          new Map([...(await topics.apply(verbs, args))].map(([name, found]) => [name, { ...found, errorCode }]))
        await start(custom, verbs, hooks)
        expect(brief(await served.post('/sync/t', '1=a'))).to.equal(`502 [{"error":${errorCode}}]`)
        expect(asked).to.have.length(1)
        expect(await served.counted()).to.include(`kafboy_failed_records_total{mode="sync",error="${code}"} 1`)
      })
    }

    it('refuses its records with 17 when its name is too long to ask Kafka', async () => {
      const { verbs } = gatewayWithout()
      verbs.topics = () => Promise.reject(new Error('too long'))
      await start(custom, verbs, hooks)
      expect(brief(await served.post(`/sync/${'t'.repeat(250)}`, '1=a'))).to.equal('502 [{"error":17}]')
    })

    it('counts the records of a batch as lost when it is not found', async () => {
      const massageBuffer: KafboyHooks['massageBuffer'] = ({ records }) => records
      const { verbs } = gatewayWithout()
      const settings = { ...custom, maxBufferRecords: 1, syncTimeoutMs: 30 }
      await start(settings, verbs, { pickPartition: hooks.pickPartition!, massageBuffer })
      expect(brief(await served.post('/batch/async/t', '1=a'))).to.equal('200 {"ok":1}')
      while (verbs.losses.length === 0) await new Promise(setImmediate)
      expect(verbs.losses).to.deep.equal(['kafboy unknownTopic 1'])
      expect(await served.counted()).to.include('kafboy_failed_records_total{mode="batch",error="unknownTopic"} 1')
    })

    it('keeps their order while a thousand other topics are asked for', async () => {
      const { verbs } = gatewayWithout()
      const { topics } = verbs
      let asked = 0
      let madeAt = Number.POSITIVE_INFINITY
      verbs.topics = async (...args) => {
        const answer = await topics.apply(verbs, args)
        if (args[0][0] === 't' && ++asked === madeAt) verbs.partitions.set('t', 3)
        return answer
      }
      const editJson: KafboyHooks['editJson'] = (_, answer, ekaf) => {
        const produce = (topic: string, value: string): void => ekaf.produceAsync(topic, { key: '1', value })
        produce('t', '0')
        for (let at = 0; at < 1_000; at++) produce(`other-${at}`, 'x')
        produce('t', '1')
        madeAt = asked + 3
        answer({ status: 200, body: '' })
      }
      await start(custom, verbs, { pickPartition: hooks.pickPartition!, editJson })
      await served.post('/async/t', '')
      const values = () => verbs.records.filter(({ topic }) => topic === 't').map(({ value }) => `${value}`)
      while (values().length + verbs.losses.length < 2) await new Promise(setImmediate)
      expect(values()).to.deep.equal(['0', '1'])
    })

    it('refuses further records when those that wait have 16 MiB, and takes those of known topics', async () => {
      const { verbs } = gatewayWithout()
      verbs.partitions.set('u', 2)
      await start({ ...custom, maxBodyBytes: 1_048_576 }, verbs, { pickPartition: hooks.pickPartition! })
      await served.post('/sync/u', '1=a')
      const large = `1=${'x'.repeat(1_000_000)}`
      const all = Array.from({ length: 17 }, () => served.post('/sync/t', large))
      expect(brief(await Promise.race(all))).to.equal('503 [{"error":"system queue full"}]')
      expect(brief(await served.post('/sync/u', large))).to.equal('200 []')
      verbs.partitions.set('t', 2)
      const said = (await Promise.all(all)).map(brief).sort()
      expect(said).to.deep.equal([...new Array(16).fill('200 []'), '503 [{"error":"system queue full"}]'])
    })
  })
})

describe('ekaf: the batches', () => {
  afterEach(() => served.close())
  const massageBuffer: KafboyHooks['massageBuffer'] = ({ topic, records }) =>
    `${topic}[${records.map(({ value }) => value).join()}]`
  const body = { settings: { maxBufferRecords: 2, bufferTtlMs: 60_000 } }
  const json = (path: string, value: string) => served.postJson(path, value)

  it('ekaf 7, 9, 18: without a hook that massages, batches are those of delivery, and nothing waits for others', async () => {
    served = await serve()
    for (let i = 0; i < 11; i++) {
      expect(brief(await json(i % 2 ? '/batch/async/t' : '/batch/sync/t', String(i)))).to.equal('200 {"ok":1}')
    }
    expect(taken(served.verbs)).to.deep.equal(Array.from({ length: 11 }, (_, i) => `t ${i}`))
    expect(served.verbs.calls[0]!.options).to.deep.include({ deadlineMs: 120_000, answeredBy: 'kafboy' })
    expect(await served.counted()).to.include('kafboy_delivered_records_total{mode="batch"} 11')
  })

  it('ekaf 13, 18: the hook makes one record of a batch as soon as it is full', async () => {
    served = await serve({ ...body, hooks: { massageBuffer } })
    expect(brief(await json('/batch/async/t', '1'))).to.equal('200 {"ok":1}')
    await json('/batch/async/u', '9')
    expect(taken(served.verbs)).to.deep.equal([])
    await json('/batch/sync/t', '2')
    expect(taken(served.verbs)).to.deep.equal(['t t[1,2]'])
    await json('/sync/t', '3')
    await json('/async/t', '4')
    expect(taken(served.verbs).slice(1)).to.deep.equal(['t 3', 't 4'])
    await served.stop()
    expect(taken(served.verbs).slice(3)).to.deep.equal(['u u[9]'])
  })

  it('ekaf 13, 18: a trickle does not postpone a batch', async () => {
    served = await serve({ settings: { bufferTtlMs: 20 }, hooks: { massageBuffer } })
    let records = 0
    while (served.verbs.records.length === 0) await json('/batch/async/t', String(records++))
    expect(taken(served.verbs)[0]).to.match(/^t t\[0(,\d+)*\]$/)
  })

  it('ekaf 13: a batch stays as it is where the hook fails, and is dropped where the hook says so', async () => {
    const hooks: KafboyHooks = {
      massageBuffer: ({ topic }) => {
        if (topic === 'throws') throw new Error('on purpose')
        return topic === 'none' ? [] : (5 as never)
      }
    }
    served = await serve({ ...body, hooks })
    for (const topic of ['throws', 'wrong', 'none']) {
      await json(`/batch/async/${topic}`, '1')
      await json(`/batch/async/${topic}`, '2')
    }
    expect(taken(served.verbs)).to.deep.equal(['throws 1', 'throws 2', 'wrong 1', 'wrong 2'])
    expect(await served.counted()).to.include('kafboy_hook_problems_total{problem="threw"} 2')
  })

  it('records that wait for the hook are bounded: further ones are 503, counted, and taken when there is capacity', async () => {
    served = await serve({ settings: { bufferTtlMs: 60_000, maxBodyBytes: 1_048_576 }, hooks: { massageBuffer } })
    const large = JSON.stringify('x'.repeat(1_040_000))
    const statuses: number[] = []
    for (let i = 0; i < 18; i++) statuses.push((await json(`/batch/async/t${i}`, large)).status)
    expect(statuses).to.deep.equal([...new Array(16).fill(200), 503, 503])
    expect(await served.counted()).to.include('kafboy_failed_records_total{mode="batch",error="overloaded"} 2')
    await served.stop()
    expect(served.verbs.records).to.have.length(16)
    expect((await json('/batch/async/t', large)).status).to.equal(200)
  })

  it('a gathered record that the gateway refuses later counts as lost, since its client was told otherwise', async () => {
    const verbs = new FakeVerbs({ refuse: (_, index) => (index === 1 ? failure('overloaded') : undefined) })
    served = await serve({ ...body, verbs, hooks: { massageBuffer: ({ records }) => records } })
    await json('/batch/async/t', '1')
    await json('/batch/async/t', '2')
    expect(verbs.losses).to.deep.equal(['kafboy overloaded 1'])
    expect(verbs.calls[0]!.options).to.deep.include({ capacityWaitMs: 120_000, stopsWhereFull: true })
  })

  it('with durability: disk nothing is gathered', async () => {
    served = await serve({ settings: { durability: 'disk' }, hooks: { massageBuffer } })
    expect(brief(await json('/batch/async/t', '1'))).to.equal('200 {"ok":1}')
    expect(taken(served.verbs)).to.deep.equal(['t 1'])
  })

  for (const hooks of [{}, { massageBuffer }]) {
    it(`ekaf 22: a batch ${'massageBuffer' in hooks ? 'that was massaged' : 'of a request'} is told of when it is handed on, and when its outcomes are known`, async () => {
      const events: KafboyEvent[] = []
      const verbs = new FakeVerbs({ outcome: 'by hand' })
      const onEvent = (event: KafboyEvent): void => void events.push(event)
      served = await serve({ settings: { maxBufferRecords: 1 }, verbs, hooks: { ...hooks, onEvent } })
      await json('/batch/async/t', '1')
      await json('/async/t', '2')
      await untilTaken(served, 2)
      expect(events).to.deep.equal([{ name: 'ekaf_callback_flush', topic: 't', records: 1 }])
      verbs.calls[0]!.settle([delivered()])
      while (events.length < 2) await new Promise(setImmediate)
      expect(events[1]).to.deep.equal({ name: 'ekaf_callback_flushed_replied', topic: 't', records: 1 })
      verbs.calls[1]!.settle([delivered()])
    })
  }
})
