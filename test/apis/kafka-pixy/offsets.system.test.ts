import { expect } from 'chai'
import { checkJson } from '../../../src/apis/kafka-pixy/go-json.js'
import { brief, PixyUnderTest } from './harness.js'

const QUICK = {
  'consumer.longPollMs': '5000',
  'advanced.consumer.commitIntervalMs': '20',
  'consumer.start': 'earliest'
}
const JSON_TYPE = { 'content-type': 'application/json' }

interface GroupOffset {
  readonly partition: number
  readonly begin: number
  readonly end: number
  readonly count: number
  readonly offset: number
  readonly lag: number
  readonly metadata?: string
}

describe('pixy: offsets, consumers and topics', function () {
  this.timeout(120_000)
  let pixy: PixyUnderTest
  before(async () => {
    pixy = await PixyUnderTest.start({ ...QUICK, 'clusters.default.clientId': 'one' })
  })
  after(() => pixy.stopAll())

  const json = async <Value>(path: string): Promise<Value> => JSON.parse((await pixy.get(path)).body) as Value
  const said = async (path: string): Promise<string> => brief(await pixy.get(path))
  const setOffsets = async (path: string, body: string) => brief(await pixy.post(path, body, JSON_TYPE))
  const errorOf = async (body: string): Promise<string> => {
    const answer = await pixy.post('/topics/test.4/offsets?group=o', body, JSON_TYPE)
    return `${answer.status} ${(JSON.parse(answer.body) as { error: string }).error}`
  }

  it('pixy H25: a group that was never seen has no offsets', async () => {
    const offsets = await json<GroupOffset[]>('/topics/test.4/offsets?group=never')
    expect(offsets.map(({ partition, offset }) => [partition, offset])).to.deep.equal([0, 1, 2, 3].map(p => [p, -1]))
  })

  it('pixy H26 H28: a topic that does not exist', async () => {
    expect(await said('/topics/gone/offsets?group=g')).to.equal('404 {"error":"Unknown topic"}')
    const one = '[{"partition":0,"offset":1}]'
    expect(await setOffsets('/topics/gone/offsets?group=g', one)).to.equal('404 {"error":"Unknown topic"}')
    const noPartition = '[{"partition":-1,"offset":1}]'
    expect(await setOffsets('/topics/test.4/offsets?group=g', noPartition)).to.equal('404 {"error":"Unknown topic"}')
  })

  it('pixy H27: offsets that were set, with metadata', async () => {
    const set = [1_100, 1_101, 1_102, -2].map((offset, partition) => ({ partition, offset, metadata: `A${partition}` }))
    expect(await setOffsets('/topics/test.4/offsets?group=set', JSON.stringify(set))).to.equal('200 {}')
    const offsets = await json<GroupOffset[]>('/topics/test.4/offsets?group=set')
    expect(offsets.map(({ partition, offset, metadata }) => ({ partition, offset, metadata }))).to.deep.equal(set)
    for (const { begin, end, count, lag, offset } of offsets) {
      expect([count, lag]).to.deep.equal([end - begin, offset < 0 ? end - begin : end - offset])
    }
  })

  it('JSON that is nested too deeply, or has too many values, is refused and no bug', async () => {
    const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
    checkJson(deep(1_000))
    const failed = '400 Failed to parse the request: err='
    expect(await errorOf(deep(100_000))).to.equal(`${failed}(invalid character '[' exceeded max depth)`)
    const listOf = (values: number): string => `[${Array.from({ length: values }, () => '{}').join()}]`
    checkJson(listOf(99_999))
    expect(await errorOf(listOf(100_000))).to.equal(`${failed}(more than 100000 values)`)
  })

  it('pixy H32 H33: consumers of what no group reads', async () => {
    await pixy.get('/topics/test.1/messages?group=reader')
    expect(await said('/topics/test.4/consumers?group=reader')).to.equal(
      '400 {"error":"topic test.4 is not consumed by reader"}'
    )
    expect(await said('/topics/test.4/consumers?group=unknown')).to.equal(
      '400 {"error":"unknown consumer group unknown"}'
    )
  })

  it('pixy H34 H36: who reads what on behalf of which group', async () => {
    for (const key of ['1', '2', '3', '4', '5', '']) await pixy.produce(`/topics/test.4/messages?sync&key=${key}`, 'm')
    await pixy.get('/topics/test.4/messages?group=foo')
    await pixy.get('/topics/test.1/messages?group=bar&noAck')
    expect((await pixy.get('/topics/test.4/consumers?group=foo')).body).to.equal(
      '{\n  "foo": {\n    "one": [0,1,2,3]\n  }\n}'
    )
    const other = await PixyUnderTest.over(pixy.cluster, { ...QUICK, 'clusters.default.clientId': 'two' })
    try {
      await Promise.all([other, pixy].map(each => each.get('/topics/test.4/messages?group=foo')))
      const shared = '200 {"foo":{"one":[0,1],"two":[2,3]}}'
      while ((await said('/topics/test.4/consumers?group=foo')) !== shared);
      expect(await said('/topics/test.4/consumers?group=')).to.equal(shared)
      expect(Object.keys(await json('/topics/test.1/consumers'))).to.include('bar')
    } finally {
      await other.stop()
    }
  })

  it('pixy H37: topics by name', async () => {
    expect(await json('/topics')).to.deep.equal(['test.1', 'test.4', 'test.64'])
  })

  it('pixy H38 H39 H40: topics with partitions, settings, or both', async () => {
    type Described = Record<string, { partitions?: { replicas: number[]; isr: number[] }[]; config?: object }>
    const plain = await json<Described>('/topics?withPartitions=true')
    expect(Object.values(plain).map(({ partitions }) => partitions!.length)).to.deep.equal([1, 4, 64])
    expect(plain['test.1']).to.deep.equal({ partitions: [{ partition: 0, leader: 1, replicas: [1], isr: [1] }] })
    const config = { version: 1, config: {} }
    expect(await json('/topics?withConfig')).to.deep.equal({
      'test.1': { config },
      'test.4': { config },
      'test.64': { config }
    })
    const both = await json<Described>('/topics?withConfig&withPartitions')
    expect(Object.keys(both['test.4']!)).to.deep.equal(['config', 'partitions'])
  })

  it('pixy 1.14: a topic alone, and one that does not exist', async () => {
    expect(await said('/topics/test.1')).to.equal('200 {"config":{"version":1,"config":{}}}')
    expect(await said('/topics/gone')).to.equal(
      '500 {"error":"failed to fetch topic configuration: zk: node does not exist"}'
    )
    expect(await said('/topics/gone?withPartitions')).to.match(/^500 .*failed to get partitions: kafka server/)
    expect(await said('/topics?a=%zz')).to.equal('400 {"error":"invalid URL escape \\"%zz\\""}')
  })
})
