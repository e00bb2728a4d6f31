import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { brief, PixyClient } from '../../apis/kafka-pixy/stage.js'
import { until } from '../../support/pixy-stage.js'
import { onCluster } from '../../support/stage.js'
import { pauseAll, resumeAll } from '../../support/target-cluster.js'

const MESSAGES = 100

describe("Kafka-Pixy's API with asynchronous messages on disk", function () {
  this.timeout(180_000)
  const stage = onCluster()
  let folder: string
  let topic: string
  beforeEach(async () => {
    folder = stage.folder()
    topic = await stage.topic('kept', 4)
  })

  const start = async () => {
    const config = join(folder, 'stage.reader.yaml')
    const pixy = 'apis: { kafka-pixy: { port: 0, durability: disk } }'
    writeFileSync(config, `${pixy}\nhttp: { port: 0 }\nmanagement: { port: 0 }\n`)
    const environment = { CASTELLAN_WAL_DIRECTORY: join(folder, 'wal') }
    const child = stage.child(['serve', '--config', config], environment)
    const [, port] = await child.line(/kafka-pixy API on its own port: http:\/\/127\.0\.0\.1:(\d+)/)
    const client = stage.keep(new PixyClient({ port: Number(port), prefix: '' }), one => one.close())
    return { child, client }
  }
  const path = (query = ''): string => `/topics/${topic}/messages?${query}`
  const endOf = async (partition: number): Promise<number> =>
    (await stage.reader.verbs.groups.offsets('none', topic, 10_000))![partition]!.latest
  const hasFiles = (): boolean => readdirSync(join(folder, 'wal')).some(name => name.endsWith('.slab'))

  it('are accepted while Kafka is away, survive kill -9, and arrive once, in order and before what is new', async () => {
    const { child, client } = await start()
    expect(brief(await client.produce(path('key=1&sync'), 'first'))).to.equal('200 {"partition":0,"offset":0}')
    await pauseAll(stage.cluster)
    const expected = ['first']
    for (let at = 0; at < MESSAGES; at++) {
      const answer = await client.produce(path('key=1'), `m${at}`)
      expect([brief(answer), answer.headers['x-castellan-persisted']]).to.deep.equal(['200 {}', 'pending'])
      expected.push(`m${at}`)
    }
    expect(hasFiles()).to.equal(true)
    await child.stop('SIGKILL')
    await resumeAll(stage.cluster)
    const again = await start()
    await until(async () => (await endOf(0)) === MESSAGES + 1)
    expect(brief(await again.client.produce(path('key=1&sync'), 'new'))).to.equal(
      `200 {"partition":0,"offset":${MESSAGES + 1}}`
    )
    expect(await stage.reader.texts(topic, 0, MESSAGES + 2)).to.deep.equal([...expected, 'new'])
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
    const [record] = [...(await stage.reader.read(topic, 1, 1)).values()]
    expect([String(record!.key), String(record!.value)]).to.deep.equal(['foo', 'sent'])
    expect(record!.headers.map(({ key, value }) => `${key}=${value}`)).to.deep.equal(['Foo=bar'])
    const [empty] = [...(await stage.reader.read(topic, 3, 1)).values()]
    expect([empty!.key, empty!.value]).to.deep.equal([Buffer.alloc(0), Buffer.alloc(0)])
    expect(await stage.reader.texts(topic, 2, 1)).to.deep.equal(['of a form'])
    expect(await endOf(0)).to.equal(0)
  })
})
