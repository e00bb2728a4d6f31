import { expect } from 'chai'
import { goJson } from '../../../src/apis/kafka-pixy/go-json.js'
import { CastellanError, ForbiddenError, KafkaError, TimedOutError } from '../../../src/core/errors.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { GroupOffset } from '../../../src/verbs/verbs.js'
import { LookUpVerbs, member, topic, topics } from './look-up-gateway.js'
import { errorOf, PixyPlay, type Said } from './play.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const NO_BROKER = '500 kafka: client has run out of available brokers to talk to (Is your cluster reachable?)'

describe('pixy 1.7: offsets, consumers and topics of a gateway', () => {
  let verbs: LookUpVerbs
  let pixy: PixyPlay
  beforeEach(async () => {
    verbs = new LookUpVerbs()
    pixy = await PixyPlay.start({}, { verbs })
  })
  const json = async (path: string): Promise<unknown> => {
    const said = await pixy.get(path)
    expect([said.status, said.headers['content-type']]).to.deep.equal([200, 'application/json'])
    return JSON.parse(said.body)
  }
  const set = (body: string, path = '/topics/t/offsets?group=g'): Promise<Said> =>
    pixy.ask('POST', path, body, JSON_TYPE)

  const paths: [path: string, operation: string, target: object][] = [
    ['/topics/t/offsets?group=g', 'offsets', { topic: 't', group: 'g' }],
    ['/topics', 'admin', {}],
    ['/topics/t', 'admin', { topic: 't' }],
    ['/topics/t/consumers', 'admin', { topic: 't' }],
    ['/topics/t/consumers?group=', 'admin', { topic: 't' }],
    ['/topics/t/consumers?group=g', 'admin', { topic: 't', group: 'g' }]
  ]
  for (const [path, operation, target] of paths) {
    it(`${path} is told to who may ask for it`, async () => {
      pixy.access.refusal = new ForbiddenError('not you')
      const said = await pixy.get(path)
      expect([errorOf(said), said.headers.connection]).to.deep.equal(['403 not you', 'keep-alive'])
      if (operation === 'offsets') expect(errorOf(await set('[]'))).to.equal('403 not you')
      const asked = operation === 'offsets' ? [1, 2] : [1]
      expect(pixy.access.asked).to.deep.equal(asked.map(() => [operation, target]))
      expect(verbs.asked).to.deep.equal([])
    })

    it(`${path} is answered when Kafka cannot tell`, async () => {
      const failed = async (error: unknown): Promise<string> => {
        verbs.error = error
        return errorOf(await pixy.get(path))
      }
      expect(await failed(new TimedOutError('it', 5))).to.equal('500 it was not answered within 5 ms')
      const notAuthorized = new KafkaError(29, 'no', false)
      expect(await failed(notAuthorized)).to.equal(
        '500 kafka server: The client is not authorized to access this topic.'
      )
      expect(await failed(new CastellanError('overloaded', 'full', true))).to.equal('503 full')
      expect(pixy.logged).to.deep.equal([])
      expect(await failed(new Error('made up'))).to.equal('500 internal error')
      expect(pixy.logged).to.have.length(1)
      verbs.isReady = false
      expect(await failed(new TimedOutError('it', 5))).to.equal(NO_BROKER)
    })
  }

  it('other work has its turn while a list of many topics is made', async () => {
    const names = Array.from({ length: 6_000 }, (_, at) => `t${10_000 + at}`)
    verbs.metadata = topics(...names.map(name => topic(name, 0, [1, 2])))
    let turns = 0
    let next: NodeJS.Immediate
    const count = (): void => {
      turns++
      next = setImmediate(count)
    }
    count()
    const list = await json('/topics?withPartitions')
    clearImmediate(next!)
    expect(Object.keys(list as object)).to.deep.equal(names)
    expect(turns).to.be.above(20)
  })

  it('offsets are told by partition, with what is acknowledged above them', async () => {
    const at = (partition: number, rest: Partial<GroupOffset>): GroupOffset => ({
      partition,
      earliest: 10,
      latest: 30,
      committed: undefined,
      acknowledged: [],
      ...rest
    })
    verbs.standing = [
      at(0, {}),
      at(1, { committed: { offset: -1 } }),
      at(2, { committed: { offset: -2, metadata: '' } }),
      at(3, {
        committed: { offset: 12, metadata: 'm' },
        acknowledged: [
          { from: 13, to: 16 },
          { from: 18, to: 20 }
        ]
      }),
      at(4, { committed: { offset: 31 } }),
      at(5, { committed: { offset: 0 } })
    ]
    const common = { begin: 10, end: 30, count: 20 }
    expect(await json('/topics/t/offsets?group=g')).to.deep.equal([
      { partition: 0, ...common, offset: -1, lag: 0 },
      { partition: 1, ...common, offset: -1, lag: 0 },
      { partition: 2, ...common, offset: -2, lag: 20 },
      { partition: 3, ...common, offset: 12, lag: 18, metadata: 'm', sparse_acks: '1-4,6-8' },
      { partition: 4, ...common, offset: 31, lag: -1 },
      { partition: 5, ...common, offset: 0, lag: 30 }
    ])
    expect(verbs.asked).to.deep.equal([['offsets', 'g', 't', 10_000]])
    verbs.standing = []
    expect((await pixy.get('/topics/t/offsets?group=g')).body).to.equal('[]')
    verbs.standing = undefined
    expect(errorOf(await pixy.get('/topics/t/offsets?group=g'))).to.equal('404 Unknown topic')
    expect(errorOf(await pixy.get('/topics/t/offsets'))).to.match(/^400 one consumer group is expected, but 0/)
  })

  it('long answers are made and counted in portions, and are the same to the byte', async () => {
    const metadata = '\u0001é<'.repeat(1_000)
    verbs.standing = Array.from({ length: 500 }, (_, partition) => {
      return { partition, earliest: 0, latest: 1, committed: { offset: 0, metadata }, acknowledged: [] }
    })
    const records = new RecordBudget(128 * 1024 * 1024, () => 0)
    pixy = await PixyPlay.start({}, { verbs, overrides: { records } })
    let mostBytes = 0
    const hold = records.hold.bind(records)
    records.hold = (...asked) => {
      const held = hold(...asked)
      const add = held.add.bind(held)
      held.add = bytes => {
        add(bytes)
        mostBytes = Math.max(mostBytes, records.heldBytes)
      }
      return held
    }
    const { body } = await pixy.get('/topics/t/offsets?group=g')
    const common = { begin: 0, end: 1, count: 1, offset: 0, lag: 1, metadata }
    expect(body === goJson(verbs.standing.map(({ partition }) => ({ partition, ...common })))).to.equal(true)
    expect(mostBytes).to.be.within(Buffer.byteLength(body), Buffer.byteLength(body) + 1_000)
    const names = Array.from({ length: 3_000 }, (_, at) => `${at}`.padStart(249, '0'))
    verbs.metadata = topics(...names.map(name => topic(name, 0, [1])))
    expect((await pixy.get('/topics')).body === goJson(names)).to.equal(true)
    const described = (await pixy.get('/topics?withPartitions')).body
    const partitions = [{ partition: 0, leader: 1, replicas: [1, 2], isr: [2] }]
    expect(described === goJson(new Map(names.map(name => [name, { partitions }])))).to.equal(true)
    expect(records.heldBytes).to.equal(0)
  })

  it('offsets are set as they are given', async () => {
    const said = await set('[{"partition":1,"offset":-2},{"partition":0,"offset":7,"metadata":"m"}]')
    expect([said.status, said.body, said.headers['content-type']]).to.deep.equal([200, '{}', 'application/json'])
    expect(verbs.asked).to.deep.equal([
      [
        'commit',
        'g',
        't',
        [
          [1, { offset: -2 }],
          [0, { offset: 7, metadata: 'm' }]
        ],
        10_000
      ]
    ])
    verbs.committing = new Map([[0, 'superseded']])
    expect((await set('[]')).body).to.equal('{}')
    verbs.committing = new Map([
      [0, 'committed'],
      [1, 'unknownTopicOrPartition'],
      [2, 'committed']
    ])
    expect(errorOf(await set('[]'))).to.equal('404 Unknown topic')
    const asked = verbs.asked.length
    expect(errorOf(await set('[{"partition":1},{"partition":-1}]'))).to.equal('404 Unknown topic')
    expect(errorOf(await set('x'))).to.match(/^400 Failed to parse the request: err=\(invalid character/)
    expect(errorOf(await set('[]', '/topics/t/offsets'))).to.match(/^400 one consumer group is expected, but 0/)
    expect(verbs.asked).to.have.length(asked)
  })

  it('offsets that cannot be set are answered', async () => {
    const failed = async (error: Error): Promise<string> => {
      verbs.committing = error as never
      return errorOf(await set('[]'))
    }
    for (const code of [25, 22, 27]) {
      expect(await failed(new KafkaError(code, 'no', false))).to.match(/^409 the group is being consumed by other/)
    }
    expect(await failed(new KafkaError(12, 'no', false))).to.equal(
      '500 kafka server: Specified a string larger than the configured maximum for offset metadata.'
    )
    expect(await failed(new KafkaError(24, 'no group', false))).to.equal('500 no group')
    expect(pixy.logged).to.deep.equal([])
    expect(await failed(new Error('made up'))).to.equal('500 internal error')
    verbs.isReady = false
    expect(await failed(new TimedOutError('it', 5))).to.equal(NO_BROKER)
    expect(pixy.logged).to.have.length(1)
  })

  it('offsets of a group may be set with the group in the query only where the body is no form', async () => {
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    const said = await pixy.ask('POST', '/topics/t/offsets', 'group=g', form)
    expect(errorOf(said)).to.equal('400 Failed to parse the request: err=(unexpected end of JSON input)')
    expect(pixy.access.asked).to.deep.equal([['offsets', { topic: 't', group: 'g' }]])
  })

  it('topics are told by name in the order of their bytes', async () => {
    verbs.metadata = topics(topic('b'), topic('\uff5e'), topic('B'), topic('\u{1f600}'), topic('a'))
    expect(await json('/topics')).to.deep.equal(['B', 'a', 'b', '\uff5e', '\u{1f600}'])
    expect(verbs.asked).to.deep.equal([['topics', 'all', 10_000]])
    verbs.metadata = new Map()
    expect((await pixy.get('/topics')).body).to.equal('[]')
    expect((await pixy.get('/topics?withConfig')).body).to.equal('{}')
    expect(verbs.asked.filter(asked => (asked as unknown[])[0] === 'configs')).to.deep.equal([])
  })

  it('topics are told with what is asked for, and nothing else', async () => {
    verbs.metadata = topics(topic('b', 0, [2, -1]), topic('a'))
    verbs.configs = new Map([
      [
        'b',
        new Map([
          ['z', '1'],
          ['a', '2']
        ])
      ]
    ])
    const partitions = [
      { partition: 0, leader: 2, replicas: [1, 2], isr: [2] },
      { partition: 1, leader: -1, replicas: [1, 2], isr: [2] }
    ]
    const config = { version: 1, config: { a: '2', z: '1' } }
    const none = { version: 1, config: {} }
    expect(await json('/topics?withPartitions=false')).to.deep.equal({ a: {}, b: { partitions } })
    expect(verbs.asked).to.deep.equal([['topics', 'all', 10_000]])
    expect(await json('/topics?withConfig')).to.deep.equal({ a: { config: none }, b: { config } })
    expect(verbs.asked.at(-1)).to.deep.equal(['configs', ['b', 'a'], 10_000])
    expect(await json('/topics?withPartitions&withConfig')).to.deep.equal({
      a: { config: none },
      b: { config, partitions }
    })
    expect((await pixy.get('/topics?withConfig')).body).to.match(
      /^\{\n {2}"a": [\s\S]*"b": [\s\S]*"a": "2",\n\s+"z": "1"/
    )
    expect(errorOf(await pixy.get('/topics?a=%zz&withConfig'))).to.equal('400 invalid URL escape "%zz"')
    expect(errorOf(await pixy.get('/topics?a;b'))).to.equal('400 invalid semicolon separator in query')
  })

  it('a topic is told with its settings, and with its partitions where they are asked for', async () => {
    verbs.metadata = topics(topic('b', 0, [1]))
    verbs.configs = new Map([['b', new Map([['a', '2']])]])
    const config = { version: 1, config: { a: '2' } }
    expect(await json('/topics/b')).to.deep.equal({ config })
    expect(verbs.asked).to.deep.equal([
      ['topics', ['b'], 10_000],
      ['configs', ['b'], 10_000]
    ])
    expect(await json('/topics/b?withPartitions')).to.deep.equal({
      config,
      partitions: [{ partition: 0, leader: 1, replicas: [1, 2], isr: [2] }]
    })
    verbs.metadata = topics(topic('b', 5))
    expect(await json('/topics/b?withPartitions')).to.deep.equal({ config })
    expect(errorOf(await pixy.get('/topics/b?a=%zz'))).to.equal('400 invalid URL escape "%zz"')
  })

  it('a topic that does not exist is told so in the words of the original', async () => {
    for (const metadata of [new Map(), topics(topic('gone', 3, [1]))]) {
      verbs.metadata = metadata
      expect(errorOf(await pixy.get('/topics/gone'))).to.equal(
        '500 failed to fetch topic configuration: zk: node does not exist'
      )
      expect(errorOf(await pixy.get('/topics/gone?withPartitions'))).to.equal(
        '500 failed to get partitions: kafka server: Request was for a topic or partition that does not exist on this broker.'
      )
    }
  })

  it('consumers are told by group and client, on one line each', async () => {
    verbs.members = new Map([
      ['g2', [member('one', 'one-1', { t: [0, 3] }), member('two', 'two-1', { t: [] }), member('three', 'x', {})]],
      ['g1', [member('c', 'c-1', { t: [1] }), member('c', 'c-2', { t: [2] }), member('c', 'c-3', { t: [4] }, 'i-3')]],
      ['other', [member('one', 'one-2', { u: [0] })]]
    ])
    expect((await pixy.get('/topics/t/consumers')).body).to.equal(
      '{\n  "g1": {\n    "c-1": [1],\n    "c-2": [2],\n    "i-3": [4]\n  },\n  "g2": {\n    "one": [0,3]\n  }\n}'
    )
    expect(verbs.asked).to.deep.equal([['consumers', 'all', 10_000, 't']])
    expect((await pixy.get('/topics/nobody/consumers')).body).to.equal('{}')
  })

  it('consumers of groups are not told that the client may not administer', async () => {
    verbs.members = new Map(['billing', 'audit'].map(group => [group, [member('one', 'one-1', { t: [0] })]]))
    pixy.access.allows = (operation, { topic, group } = {}) =>
      operation === 'admin' && topic === 't' && group === 'billing'
    expect(await json('/topics/t/consumers')).to.deep.equal({ billing: { one: [0] } })
  })

  it('consumers of a group are told where it reads the topic', async () => {
    verbs.members = new Map([['ü', [member('one', 'one-1', { t: [0] })]]])
    expect(await json('/topics/t/consumers?group=%C3%BC')).to.deep.equal({ ü: { one: [0] } })
    expect(verbs.asked).to.deep.equal([['consumers', ['ü'], 10_000, 't']])
    expect(errorOf(await pixy.get('/topics/u/consumers?group=%C3%BC'))).to.equal('400 topic u is not consumed by ü')
    expect(errorOf(await pixy.get('/topics/t/consumers?group=g'))).to.equal('400 unknown consumer group g')
    verbs.asked.length = 0
    expect(errorOf(await pixy.get('/topics/t/consumers?group=a&group=b&group=c'))).to.equal(
      '400 one consumer group is expected, but 3 provided'
    )
    expect(verbs.asked).to.deep.equal([])
  })

  it('a cluster that is not there is told so; a body on its way to it is not read', async () => {
    const said = await pixy.get('/clusters/other/topics')
    expect([errorOf(said), said.headers.connection]).to.deep.equal(['400 proxy `other` does not exist', 'keep-alive'])
    const closed = await set('[]', '/clusters/other/topics/t/offsets?group=g')
    expect([errorOf(closed), closed.headers.connection]).to.deep.equal(['400 proxy `other` does not exist', 'close'])
    const none = await pixy.ask('POST', '/clusters/other/topics/t/acks?group=g')
    expect(none.headers.connection).to.equal('keep-alive')
  })
})
