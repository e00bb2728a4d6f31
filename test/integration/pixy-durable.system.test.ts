import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { brief, PixyClient } from '../apis/kafka-pixy/harness.js'
import { Children } from '../cli/child.js'
import { type Castellan, startCastellan } from '../support/castellan.js'
import { until } from '../support/pixy-stage.js'
import { freshTopic, type TargetCluster, targetCluster } from '../support/target-cluster.js'

const MESSAGES = 100

describe("Kafka-Pixy's API with asynchronous messages on disk", function () {
  this.timeout(180_000)
  const children = new Children()
  let cluster: TargetCluster
  let castellan: Castellan
  let folder: string
  let topic: string
  let clients: PixyClient[]
  before(async () => {
    cluster = await targetCluster()
    castellan = await startCastellan(cluster.bootstrap)
  })
  after(async () => {
    await castellan?.close()
    await cluster?.close()
  })
  beforeEach(async () => {
    clients = []
    folder = mkdtempSync(join(tmpdir(), 'castellan-pixy-'))
    topic = freshTopic('kept')
    await cluster.createTopic(topic, 4)
  })
  afterEach(async () => {
    await resume()
    for (const client of clients) client.close()
    await children.stopAll()
    rmSync(folder, { recursive: true, force: true })
  })

  const start = async () => {
    const config = join(folder, 'castellan.yaml')
    const pixy = 'apis: { kafka-pixy: { port: 0, durability: disk } }'
    writeFileSync(config, `${pixy}\nhttp: { port: 0 }\nmanagement: { port: 0 }\n`)
    const environment = { CASTELLAN_WAL_DIRECTORY: join(folder, 'wal') }
    const child = children.start(['serve', '--config', config, '--brokers', cluster.bootstrap], environment)
    const [, port] = await child.line(/kafka-pixy API on its own port: http:\/\/127\.0\.0\.1:(\d+)/)
    const client = new PixyClient({ port: Number(port), prefix: '' })
    clients.push(client)
    return { child, client }
  }
  const pause = (): Promise<unknown> => Promise.all(cluster.nodeIds.map(node => cluster.pauseNode(node)))
  const resume = (): Promise<unknown> => Promise.all(cluster.nodeIds.map(node => cluster.resumeNode(node)))
  const path = (query = ''): string => `/topics/${topic}/messages?${query}`
  const textsOf = async (partition: number, count: number): Promise<string[]> =>
    [...(await castellan.read(topic, partition, count)).values()].map(({ value }) => String(value))
  const endOf = async (partition: number): Promise<number> =>
    (await castellan.gateway.groups.offsets('none', topic, 10_000))![partition]!.latest
  const hasFiles = (): boolean => readdirSync(join(folder, 'wal')).some(name => name.endsWith('.slab'))

  it('are accepted while Kafka is away, survive kill -9, and arrive once, in order and before what is new', async () => {
    const { child, client } = await start()
    expect(brief(await client.produce(path('key=1&sync'), 'first'))).to.equal('200 {"partition":0,"offset":0}')
    await pause()
    const expected = ['first']
    for (let at = 0; at < MESSAGES; at++) {
      const answer = await client.produce(path('key=1'), `m${at}`)
      expect([brief(answer), answer.headers['x-castellan-persisted']]).to.deep.equal(['200 {}', 'pending'])
      expected.push(`m${at}`)
    }
    expect(hasFiles()).to.equal(true)
    await child.stop('SIGKILL')
    await resume()
    const again = await start()
    await until(async () => (await endOf(0)) === MESSAGES + 1)
    expect(brief(await again.client.produce(path('key=1&sync'), 'new'))).to.equal(
      `200 {"partition":0,"offset":${MESSAGES + 1}}`
    )
    expect(await textsOf(0, MESSAGES + 2)).to.deep.equal([...expected, 'new'])
  })

  it('keep keys, empty values, headers and their partition; a message that is too large is dropped, as told', async () => {
    const { client } = await start()
    const headers = { 'X-Kafka-Foo': 'YmFy' }
    await client.produce(path('key=foo'), 'sent', headers)
    await client.produce(path('key='), '')
    const dropped = await client.produce(path('key=1'), 'x'.repeat(1_000_001))
    expect([brief(dropped), dropped.headers['x-castellan-persisted']]).to.deep.equal(['200 {}', 'no'])
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(brief(await client.post(path(), 'msg=of+a+form&key=bar', form))).to.equal('200 {}')
    const [record] = [...(await castellan.read(topic, 1, 1)).values()]
    expect([String(record!.key), String(record!.value)]).to.deep.equal(['foo', 'sent'])
    expect(record!.headers.map(({ key, value }) => `${key}=${value}`)).to.deep.equal(['Foo=bar'])
    const [empty] = [...(await castellan.read(topic, 3, 1)).values()]
    expect([empty!.key, empty!.value]).to.deep.equal([Buffer.alloc(0), Buffer.alloc(0)])
    expect(await textsOf(2, 1)).to.deep.equal(['of a form'])
    expect(await endOf(0)).to.equal(0)
  })
})
