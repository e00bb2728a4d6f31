import { expect } from 'chai'
import { type Answer, brief, type PixyGateway } from '../../apis/kafka-pixy/stage.js'
import { jsonOf, PixyStage, until } from '../../support/pixy-stage.js'
import { freshTopic } from '../../support/target-cluster.js'

interface GroupOffset {
  readonly partition: number
  readonly begin: number
  readonly end: number
  readonly count: number
  readonly offset: number
  readonly lag: number
  readonly metadata?: string
}

interface Described {
  readonly partitions?: readonly { readonly replicas: readonly number[]; readonly isr: readonly number[] }[]
  readonly config?: { readonly version: number; readonly config: Readonly<Record<string, string>> }
}

const UNKNOWN_TOPIC = '404 {"error":"Unknown topic"}'
const JSON_TYPE = { 'content-type': 'application/json' }
const REPLICAS = 3

describe('pixy: offsets, consumers and topics', function () {
  this.timeout(120_000)
  let stage: PixyStage
  let topic: string
  let group: string
  before(async () => {
    stage = await PixyStage.open({ 'clusters.default.clientId': 'one', 'consumer.longPollMs': '1000' })
  })
  after(() => stage?.close())
  beforeEach(async () => {
    topic = await stage.topic(4)
    group = freshTopic('foo')
  })

  const said = async (path: string): Promise<string> => brief(await stage.pixy.get(path))
  const offsets = async (): Promise<GroupOffset[]> =>
    jsonOf(await stage.pixy.get(`/topics/${topic}/offsets?group=${group}`))
  const set = async (body: object) =>
    brief(await stage.pixy.post(`/topics/${topic}/offsets?group=${group}`, JSON.stringify(body), JSON_TYPE))
  const poll = async (pixy: PixyGateway, of = topic, by = group) =>
    brief(await pixy.get(`/topics/${of}/messages?group=${by}`))
  /** Asks until there is a message: brokers may need longer for it than a request waits. */
  const next = async (): Promise<number> => {
    let answer = await stage.pixy.get(`/topics/${topic}/messages?group=${group}`)
    while (answer.status === 408) answer = await stage.pixy.get(`/topics/${topic}/messages?group=${group}`)
    return jsonOf<{ offset: number }>(answer).offset
  }
  const consumers = () => said(`/topics/${topic}/consumers?group=${group}`)
  /** Asks until the group is joined: brokers may need longer for it than a request waits. */
  const join = () =>
    until(async () => {
      await poll(stage.pixy)
      return (await consumers()).startsWith('200')
    })
  const described = async (query: string): Promise<Record<string, Described>> =>
    jsonOf(await stage.pixy.get(`/topics?${query}`))

  it('pixy H25: a group that was never seen has no offsets', async () => {
    expect((await offsets()).map(({ partition, offset }) => [partition, offset])).to.deep.equal(
      [0, 1, 2, 3].map(partition => [partition, -1])
    )
  })

  it('pixy H26 H28: a topic that does not exist has no offsets to tell or to set', async () => {
    topic = freshTopic('gone')
    expect(await said(`/topics/${topic}/offsets?group=${group}`)).to.equal(UNKNOWN_TOPIC)
    expect(await set([{ partition: 0, offset: 1 }])).to.equal(UNKNOWN_TOPIC)
  })

  it('pixy H27: offsets that were set are told with their metadata', async () => {
    for (const key of ['1', '2', 'bar', '']) await stage.pixy.produce(`/topics/${topic}/messages?key=${key}&sync`, 'm')
    const changes = [1_100, 1_101, 1_102, -2].map((offset, partition) => ({
      partition,
      offset,
      metadata: `A${partition}`
    }))
    expect(await set(changes)).to.equal('200 {}')
    const found = await offsets()
    expect(found.map(({ partition, offset, metadata }) => ({ partition, offset, metadata }))).to.deep.equal(changes)
    for (const { begin, end, count, lag, offset } of found) {
      expect([begin, end, count, lag]).to.deep.equal([0, 1, 1, offset < 0 ? 1 : 1 - offset])
    }
  })

  it('offsets that were set are where the group begins: at the oldest message, and behind what its metadata acknowledges', async () => {
    for (const message of ['m0', 'm1', 'm2']) await stage.pixy.produce(`/topics/${topic}/messages?key=1&sync`, message)
    expect(
      await set([
        { partition: 0, offset: -2 },
        { partition: 1, offset: -1 }
      ])
    ).to.equal('200 {}')
    expect([await next(), await next()]).to.deep.equal([0, 1])
    group = freshTopic('acked')
    expect(await set([{ partition: 0, offset: 0, metadata: 'BB' }])).to.equal('200 {}')
    expect([await next(), await next()]).to.deep.equal([0, 2])
  })

  it('pixy E15: a group that is set beyond the end gets what is written from there on', async () => {
    const write = () => stage.pixy.produce(`/topics/${topic}/messages?key=1&sync`, 'm')
    for (let message = 0; message < 3; message++) await write()
    expect(await set([{ partition: 0, offset: 5 }])).to.equal('200 {}')
    expect(await poll(stage.pixy)).to.match(/^408/)
    for (let message = 3; message < 7; message++) await write()
    expect([await next(), await next()]).to.deep.equal([5, 6])
  })

  describe('a group that is being consumed', () => {
    const placeOf = async (asked: Promise<Answer>): Promise<string> => {
      const { partition, offset } = jsonOf<{ partition: number; offset: number }>(await asked)
      return `${partition}/${offset}`
    }
    const ask = (pixy: PixyGateway, query = '') => pixy.get(`/topics/${topic}/messages?group=${group}${query}`)
    /** Asks until there is a message: brokers may need longer for it than a request waits. */
    const next = async (query = ''): Promise<string> => {
      let answer = await ask(stage.pixy, query)
      while (answer.status === 408) answer = await ask(stage.pixy, query)
      return placeOf(Promise.resolve(answer))
    }
    const committed = (partition: number) => stage.committed(group, topic, partition)
    beforeEach(async () => {
      for (const message of ['m0', 'm1', 'm2']) {
        for (const key of ['1', 'foo']) await stage.pixy.produce(`/topics/${topic}/messages?key=${key}&sync`, message)
      }
      expect(await set([0, 1, 2, 3].map(partition => ({ partition, offset: -1 })))).to.equal('200 {}')
      expect(await poll(stage.pixy)).to.match(/^408/)
      await until(async () => (await committed(1)) === '3')
    })

    it('goes on at once where it is told to, and only there', async () => {
      let waiting: Promise<Answer>
      // A busy machine may set the offset when the request has waited for its second: then both once more, from the end.
      do {
        expect(await set([{ partition: 0, offset: -1 }])).to.equal('200 {}')
        waiting = ask(stage.pixy)
        expect(await set([{ partition: 0, offset: 1 }])).to.equal('200 {}')
      } while ((await waiting).status === 408)
      expect(await placeOf(waiting)).to.equal('0/1')
      expect(await next()).to.equal('0/2')
      expect(await poll(stage.pixy)).to.match(/^408/)
      await until(async () => (await committed(0)) === '3')
      expect(await committed(1)).to.equal('3')
    })

    it('goes to the oldest message, behind what metadata acknowledges, and to the end', async () => {
      expect(await set([{ partition: 0, offset: -2 }])).to.equal('200 {}')
      expect(await next()).to.equal('0/0')
      expect(await set([{ partition: 0, offset: 0, metadata: 'BB' }])).to.equal('200 {}')
      expect([await next(), await next()]).to.deep.equal(['0/0', '0/2'])
      expect(await set([{ partition: 0, offset: -2 }])).to.equal('200 {}')
      expect(await set([{ partition: 0, offset: -1 }])).to.equal('200 {}')
      expect(await poll(stage.pixy)).to.match(/^408/)
      await until(async () => (await committed(0)) === '3')
    })

    it('forgets what it has offered: a late ack changes nothing', async () => {
      expect(await set([{ partition: 0, offset: 2 }])).to.equal('200 {}')
      expect(await next('&noAck')).to.equal('0/2')
      expect(await set([{ partition: 0, offset: 0 }])).to.equal('200 {}')
      const late = await stage.pixy.post(`/topics/${topic}/acks?group=${group}&partition=0&offset=2`)
      expect(brief(late)).to.equal(`400 {"error":"offset 2 of {${group} ${topic} 0} has not been offered"}`)
      const again = [1, 2, 3].map(() => placeOf(ask(stage.pixy)))
      expect(await Promise.all(again)).to.deep.equal(['0/0', '0/1', '0/2'])
    })

    it('keeps its offsets where another process reads a partition', async () => {
      const two = await stage.another({ 'clusters.default.clientId': 'two' })
      await until(async () => {
        await Promise.all([poll(stage.pixy), poll(two)])
        return (await said(`/topics/${topic}/consumers?group=${group}`)).includes('"two"')
      })
      const before = await Promise.all([0, 1, 2, 3].map(committed))
      const changes = [0, 1, 2, 3].map(partition => ({ partition, offset: 0 }))
      expect(await set(changes)).to.match(/^409 .*the group is being consumed by other processes/)
      expect(await Promise.all([0, 1, 2, 3].map(committed))).to.deep.equal(before)
      await two.stop()
    })
  })

  it('a group that is set to the end gets what is written from that moment on, whether it is being consumed or not', async () => {
    const write = async (...messages: string[]): Promise<void> => {
      for (const message of messages) await stage.pixy.produce(`/topics/${topic}/messages?key=1&sync`, message)
    }
    // The group begins where the partitions are empty, so that each partition without an offset is read from 0.
    expect(await poll(stage.pixy)).to.match(/^408/)
    await write('m0', 'm1', 'm2')
    expect(await next()).to.equal(0)
    expect(await set([{ partition: 0, offset: -1 }])).to.equal('200 {}')
    expect((await offsets())[0]).to.include({ end: 3, lag: 0 })
    await write('m3')
    expect(await next()).to.equal(3)
    group = freshTopic('idle')
    expect(await set([{ partition: 0, offset: -1 }])).to.equal('200 {}')
    expect((await offsets())[0]).to.deep.equal({ partition: 0, begin: 0, end: 4, count: 4, offset: -1, lag: 0 })
    await write('m4')
    expect(await next()).to.equal(4)
  })

  it('offsets below 0 have the lag of the original, and a group begins at the oldest message where they are not -1', async () => {
    for (const message of ['m0', 'm1']) await stage.pixy.produce(`/topics/${topic}/messages?key=1&sync`, message)
    expect(
      await set([
        { partition: 0, offset: -3 },
        { partition: 1, offset: -1, metadata: 'end' },
        { partition: 2, offset: -2 }
      ])
    ).to.equal('200 {}')
    expect((await offsets()).map(({ offset, lag, metadata }) => [offset, lag, metadata])).to.deep.equal([
      [-3, 5, undefined],
      [-1, 0, 'end'],
      [-2, 0, undefined],
      [-1, 0, undefined]
    ])
    expect(await next()).to.equal(0)
  })

  it('pixy H32 H33: who asks for the consumers of what no group reads is refused', async () => {
    await join()
    const other = await stage.topic(1)
    expect(await said(`/topics/${other}/consumers?group=${group}`)).to.equal(
      `400 {"error":"topic ${other} is not consumed by ${group}"}`
    )
    expect(await said(`/topics/${topic}/consumers?group=no-${group}`)).to.equal(
      `400 {"error":"unknown consumer group no-${group}"}`
    )
  })

  it('pixy H34 H36: one consumer reads all, two share, and other groups are not told of', async () => {
    await join()
    expect(await consumers()).to.equal(`200 {"${group}":{"one":[0,1,2,3]}}`)
    const two = await stage.another({ 'clusters.default.clientId': 'two' })
    const third = await stage.topic(1)
    await poll(two, third, `bar-${group}`)
    await until(async () => {
      await Promise.all([poll(stage.pixy), poll(two)])
      return (await consumers()) === `200 {"${group}":{"one":[0,1],"two":[2,3]}}`
    })
    await two.stop()
  })

  it('pixy H37: topics are listed by name, those of the brokers as well', async () => {
    const names = jsonOf<string[]>(await stage.pixy.get('/topics'))
    expect(names).to.include(topic)
    expect(names).to.deep.equal([...names].sort())
    // The embedded broker keeps offsets elsewhere.
    if (stage.cluster.kind === 'kafka') expect(names).to.include('__consumer_offsets')
  })

  it('pixy H38 H39 H40: topics are told with partitions, settings, or both', async () => {
    const { [topic]: plain } = await described('withPartitions=true')
    expect(Object.keys(plain!)).to.deep.equal(['partitions'])
    const sizes = plain!.partitions!.map(({ replicas, isr }) => [replicas.length, isr.length])
    expect(sizes).to.deep.equal([0, 1, 2, 3].map(() => [REPLICAS, REPLICAS]))
    const configs = await described('withConfig')
    expect(configs[topic]).to.deep.equal({ config: { version: 1, config: {} } })
    if (stage.cluster.kind === 'kafka') {
      const { version, config } = configs.__consumer_offsets!.config!
      expect(version).to.equal(1)
      expect(config).to.include({
        'cleanup.policy': 'compact',
        'compression.type': 'producer',
        'segment.bytes': '104857600'
      })
    }
    const { [topic]: both } = await described('withConfig&withPartitions')
    expect(Object.keys(both!)).to.deep.equal(['config', 'partitions'])
  })

  it('pixy 1.14: one topic is told alone, and one that does not exist is refused', async () => {
    expect(await said(`/topics/${topic}`)).to.equal('200 {"config":{"version":1,"config":{}}}')
    const gone = `/topics/${freshTopic('gone')}`
    expect(await said(gone)).to.equal('500 {"error":"failed to fetch topic configuration: zk: node does not exist"}')
    expect(await said(`${gone}?withPartitions`)).to.match(/^500 .*failed to get partitions: kafka server/)
    expect(await said('/topics?a=%zz')).to.equal('400 {"error":"invalid URL escape \\"%zz\\""}')
  })
})
