import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const partitions = 3
const hooks = fileURLToPath(new URL('../../apis/kafboy/hooks/readme.ts', import.meta.url))

/** Topics that have settings of their own, so their names are known before the gateway starts. */
const topics = {
  strict: freshTopic('strict'),
  sticky: freshTopic('sticky'),
  custom: freshTopic('custom'),
  batched: freshTopic('batched')
}
const own = [
  { topic: topics.strict, partitionStrategy: 'strict_round_robin' },
  { topic: topics.sticky, partitionStrategy: 'ordered_round_robin' },
  { topic: topics.custom, partitionStrategy: 'custom' },
  { topic: topics.batched, partitionStrategy: 'sticky_round_robin' }
]

describe('kafboy on a cluster', () => {
  const stage = onCluster()
  let app: App
  let hooked: App
  before(async () => {
    const patient = { 'delivery.createTopics': 'false', 'advanced.router.unknownTopicTimeoutMs': '500' }
    const fields = { 'apis.kafboy.payload': 'fields', 'apis.kafboy.maxBodyBytes': '3000000' }
    const kafboy = { 'apis.kafboy.syncTimeoutMs': '30000', 'apis.kafboy.topics': JSON.stringify(own) }
    app = await stage.app({ ...patient, ...kafboy, ...fields })
    hooked = await stage.app({
      ...patient,
      ...kafboy,
      'apis.kafboy.callbackEditJson': hooks,
      'advanced.apis.kafboy.callbackTimeoutMs': '60000'
    })
    for (const topic of Object.values(topics)) await stage.cluster.createTopic(topic, partitions)
  })

  const post = async (path: string, body: string | Buffer, { json = false, to = app } = {}) => {
    const headers = { 'content-type': json ? 'application/json' : 'application/x-www-form-urlencoded' }
    const answer = await fetch(`${to.urls.shared}/kafboy${path}`, { method: 'POST', headers, body: body as string })
    return { said: `${answer.status} ${await answer.text()}`, persisted: answer.headers.get('x-castellan-persisted') }
  }
  const textsIn = async (topic: string, count: number, partition = 0): Promise<string[]> =>
    [...(await stage.reader.read(topic, partition, count)).values()].map(
      ({ key, value }) => `${key === null ? '' : `${key}=`}${value}`
    )
  const countsOf = async (topic: string): Promise<number[]> => {
    const all = []
    for (let partition = 0; partition < partitions; partition++) {
      all.push((await stage.reader.readAll(topic, partition)).length)
    }
    return all
  }

  it('kafboy 1, ekaf 5, 6: what is acknowledged has landed, in order, byte for byte', async () => {
    const topic = await stage.topic('acknowledged')
    expect(await post(`/sync/${topic}`, '{"a":"b=c&d+e%"}', { json: true })).to.deep.equal({
      said: '200 [{"ok":true}]',
      persisted: 'yes'
    })
    expect(await post(`/sync/${topic}`, 'k1=a&k2=b&k3=%FF')).to.deep.equal({ said: '200 []', persisted: 'yes' })
    expect(await textsIn(topic, 4)).to.deep.equal(['{"a":"b=c&d+e%"}', 'k1=a', 'k2=b', 'k3=\ufffd'])
  })

  it('ekaf 8: what is accepted lands in order, one by one or as a list', async () => {
    const topic = await stage.topic('accepted')
    for (let i = 0; i < 20; i++) {
      expect(await post(`/async/${topic}`, `{"i":${i}}`, { json: true })).to.deep.equal({
        said: '200 {"ok":1}',
        persisted: 'pending'
      })
    }
    expect((await post(`/async/${topic}`, 'k=a&k=b&k=c')).said).to.equal('200 {"ok":1}')
    const expected = [...Array.from({ length: 20 }, (_, i) => `{"i":${i}}`), 'k=a', 'k=b', 'k=c']
    expect(await textsIn(topic, 23)).to.deep.equal(expected)
  })

  it('ekaf 7, 9: eleven records of the batch routes land together, in order', async () => {
    for (let i = 0; i < 11; i++) {
      const path = i % 2 === 0 ? '/batch/async' : '/batch/sync'
      expect((await post(`${path}/${topics.batched}`, String(i), { json: true })).said).to.equal('200 {"ok":1}')
    }
    const counts = async (): Promise<number> => (await countsOf(topics.batched)).reduce((sum, one) => sum + one, 0)
    while ((await counts()) < 11) await sleep(20)
    const partition = (await countsOf(topics.batched)).indexOf(11)
    expect(await textsIn(topics.batched, 11, partition)).to.deep.equal(Array.from({ length: 11 }, (_, i) => String(i)))
  })

  it('ekaf 14: strict round robin spreads nine records evenly over three partitions', async () => {
    for (let i = 0; i < 9; i++) await post(`/sync/${topics.strict}`, 'x', { json: true })
    expect(await countsOf(topics.strict)).to.deep.equal([3, 3, 3])
  })

  it('ekaf 15: random spreads 3,000 records', async () => {
    const topic = await stage.topic('random', partitions)
    const fields = Array.from({ length: 500 }, (_, i) => `f${i}=x`).join('&')
    for (let i = 0; i < 6; i++) expect((await post(`/sync/${topic}`, fields)).said).to.equal('200 []')
    for (const count of await countsOf(topic)) expect(count).to.be.within(600, 1_410)
  })

  it('ekaf 16: sticky keeps to a partition', async () => {
    for (let i = 0; i < 9; i++) await post(`/sync/${topics.sticky}`, 'x', { json: true })
    expect((await countsOf(topics.sticky)).sort()).to.deep.equal([0, 0, 9])
  })

  it('ekaf 17: custom places keys as kafboy does', async () => {
    // phash2: user1 is 87738644, a is 112802447, mykey is 85770186.
    await post(`/sync/${topics.custom}`, 'user1=1&a=2&mykey=3')
    const at = (key: number): number => key % partitions
    for (const [key, hash] of [
      ['user1=1', 87_738_644],
      ['a=2', 112_802_447],
      ['mykey=3', 85_770_186]
    ] as const) {
      const texts = (await stage.reader.readAll(topics.custom, at(hash))).map(record => `${record.key}=${record.value}`)
      expect(texts).to.include(key)
    }
  })

  it('kafboy 16: a topic that does not exist is answered within its time, and not created', async () => {
    const startedAt = performance.now()
    const answer = await post(`/sync/${freshTopic('unknown')}`, 'a=1')
    expect(answer).to.deep.equal({ said: '502 [{"error":3}]', persisted: 'no' })
    expect(performance.now() - startedAt).to.be.lessThan(30_000)
  })

  it('ekaf 19: a record that is too large is told, and an invalid topic', async () => {
    const topic = await stage.topic('sizes')
    const large = await post(`/sync/${topic}`, 'x'.repeat(1_100_000), { json: true })
    expect(large).to.deep.equal({ said: '502 [{"error":10}]', persisted: 'no' })
    expect(await post(`/sync/${encodeURIComponent('no topic')}`, 'a=1')).to.deep.equal({
      said: '502 [{"error":17}]',
      persisted: 'no'
    })
    const dropped = await post(`/async/${topic}`, 'x'.repeat(1_100_000), { json: true })
    expect(dropped).to.deep.equal({ said: '200 {"ok":1}', persisted: 'no' })
  })

  it('ekaf 19: a leader that moves is found, and what was acknowledged is there once', async () => {
    const topic = await stage.topic('moving')
    const expected: string[] = []
    for (const nodeId of stage.cluster.nodeIds) {
      await stage.cluster.moveLeader(topic, 0, nodeId)
      for (const mode of ['sync', 'async']) {
        const said = mode === 'sync' ? '200 [{"ok":true}]' : '200 {"ok":1}'
        expected.push(`${mode} by ${nodeId}`)
        expect((await post(`/${mode}/${topic}`, expected.at(-1)!, { json: true })).said).to.equal(said)
      }
    }
    expect(await textsIn(topic, expected.length)).to.deep.equal(expected)
  })

  it('kafboy 3: the session of the README with its hooks', async () => {
    const topic = await stage.topic('readme')
    const to = { to: hooked }
    expect((await post(`/batch/async/${topic}`, 'test=a', to)).said).to.equal('200 {"ok":"fast reply"}')
    expect((await post(`/sync/${topic}`, 'hello=a', to)).said).to.equal('200 [{"ok":true}]')
    expect((await post(`/batch/async/${topic}`, '', to)).said).to.equal(`400 {"error":"${topic}.insufficient"}`)
    expect((await textsIn(topic, 2)).sort()).to.deep.equal(['a', '{"extra":"true","test":"a"}'])
  })

  it('ekaf 3: a topic is described the same twice', async () => {
    const topic = await stage.topic('described', partitions)
    const ask = async () => [...(await stage.reader.verbs.topics([topic], 15_000)).values()]
    const [first] = await ask()
    expect(first!.partitions.map(({ partition }) => partition)).to.deep.equal([0, 1, 2])
    expect(new Set(first!.partitions.flatMap(({ replicas }) => replicas)).size).to.equal(stage.cluster.nodeIds.length)
    expect(await ask()).to.deep.equal([first])
  })

  it('ekaf 19, 20: nodes restart one after another, and what was acknowledged is there, once', async function () {
    this.timeout(180_000)
    const topic = await stage.topic('rolling', partitions)
    const said = new Map<string, string>()
    let isOver = false
    const write = async (mode: string): Promise<void> => {
      for (let i = 0; !isOver; i++) {
        const id = `${mode}${i}`
        const { said: answer, persisted } = await post(`/${mode}/${topic}`, id, { json: true })
        said.set(id, `${answer.slice(0, 3)} ${persisted}`)
        await sleep(5)
      }
    }
    const writing = ['sync', 'async'].map(write)
    for (const nodeId of stage.cluster.nodeIds) {
      await stage.cluster.killNode(nodeId)
      await sleep(500)
      await stage.cluster.reviveNode(nodeId)
    }
    isOver = true
    await Promise.all(writing)
    const logged = new Map<string, number>()
    const accepted = [...said].filter(([, answer]) => answer.startsWith('200')).map(([id]) => id)
    const missing = (): string[] => accepted.filter(id => !logged.has(id))
    for (const until = performance.now() + 60_000; ; await sleep(100)) {
      logged.clear()
      for (let partition = 0; partition < partitions; partition++) {
        for (const { value } of await stage.reader.readAll(topic, partition)) {
          logged.set(String(value), (logged.get(String(value)) ?? 0) + 1)
        }
      }
      if (missing().length === 0 || performance.now() > until) break
    }
    expect(missing()).to.deep.equal([])
    expect([...logged].filter(([, times]) => times > 1)).to.deep.equal([])
    const refused = [...said].filter(([id, answer]) => answer.endsWith(' no') && logged.has(id))
    expect(refused).to.deep.equal([])
  })
})
