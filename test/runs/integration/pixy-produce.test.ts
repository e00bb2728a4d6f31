import { type ClientRequest, request } from 'node:http'
import { expect } from 'chai'
import { brief } from '../../apis/kafka-pixy/stage.js'
import { jsonOf, PixyStage, until } from '../../support/pixy-stage.js'
import { inWorld } from './in-world.js'

interface Place {
  readonly partition: number
  readonly offset: number
}

const NO_SUCH_TOPIC = 'kafka server: Request was for a topic or partition that does not exist on this broker.'

/** Partitions of keys among 64, as the original's client library chooses them. */
const OF_64: Readonly<Record<string, number>> = {
  '': 59,
  1: 28,
  2: 21,
  3: 2,
  4: 35,
  5: 16,
  A: 52,
  B: 59,
  C: 14,
  D: 45,
  foo: 41,
  bar: 26
}

describe('pixy: produce', () => {
  inWorld()
  let stage: PixyStage
  let topic: string
  before(async () => (stage = await PixyStage.open()))
  after(() => stage?.close())
  beforeEach(async () => (topic = await stage.topic(4)))

  const path = (query = '') => `/topics/${topic}/messages?${query}`
  const ends = () => stage.ends(topic, 4)
  const place = async (query: string, message: string): Promise<Place> =>
    jsonOf(await stage.pixy.produce(path(`sync&${query}`), message))

  it('pixy H3 R1 R5: asynchronous messages spread over partitions by their keys, and are written before the stop', async () => {
    const other = await stage.another()
    const slow = stage.cluster.faults?.add({ api: 'Produce', topic, count: 50 }, { type: 'delay', delayMs: 3_000 })
    for (const key of ['1', '2', '3', '4', '5']) {
      for (let i = 0; i < 10; i++) expect(brief(await other.produce(path(`key=${key}`), 'm'))).to.equal('200 {}')
    }
    // Kafka is slow, so that nothing is written yet.
    if (slow !== undefined) expect(await ends()).to.deep.equal([0, 0, 0, 0])
    slow?.remove()
    await other.stop()
    expect(await ends()).to.deep.equal([20, 10, 10, 10])
  })

  it('pixy H4 R6: messages without a key are spread', async () => {
    const other = await stage.another()
    // One after another: those that come together may go to one partition.
    for (let i = 0; i < 100; i++) expect(brief(await other.produce(path(), 'm'))).to.equal('200 {}')
    await other.stop()
    const counts = await ends()
    expect(counts.reduce((sum, count) => sum + count)).to.equal(100)
    expect(Math.min(...counts), counts.join()).to.be.above(0)
  })

  it('pixy H5 R8: an empty key is a key, always of partition 3', async () => {
    const other = await stage.another()
    for (let i = 0; i < 10; i++) await other.produce(path('key='), 'm')
    await other.stop()
    expect(await ends()).to.deep.equal([0, 0, 0, 10])
    expect((await stage.record(topic, 3)).key).to.have.length(0)
  })

  it('pixy N1: keys of 64 partitions are where the original had them', async () => {
    topic = await stage.topic(64)
    const expected = Array.from({ length: 64 }, () => 0)
    const other = await stage.another()
    for (const [at, [key, partition]] of Object.entries(OF_64).entries()) {
      for (let i = 0; i < at; i++) await other.produce(path(`key=${key}`), 'm')
      expected[partition]! += at
    }
    await other.stop()
    expect(await stage.ends(topic, 64)).to.deep.equal(expected)
  })

  it('pixy H6: a text arrives byte for byte', async () => {
    const { partition, offset } = await place('key=foo', 'Превед Medved ☃')
    expect(partition).to.equal(1)
    const { key, value } = await stage.record(topic, partition, offset)
    expect([String(key), String(value)]).to.deep.equal(['foo', 'Превед Medved ☃'])
  })

  it('pixy H7 R3: X-Kafka- headers become headers of the message', async () => {
    const headers = { 'X-Kafka-Foo': Buffer.from('bar').toString('base64') }
    expect(brief(await stage.pixy.produce(path('key=foo&sync'), 'm', headers))).to.match(/^200 /)
    expect(await ends()).to.deep.equal([0, 1, 0, 0])
    const [header, ...none] = (await stage.record(topic, 1)).headers
    expect([header!.key, String(header!.value), none]).to.deep.equal(['Foo', 'bar', []])
  })

  it('pixy H13: the largest message arrives when it is uploaded slowly in pieces', async () => {
    const value = Buffer.alloc(999_961, 'Castellan ')
    const sent = upload(new URL(`${stage.pixy.app.urls.apis.get('kafka-pixy')}${path('key=foo')}`), value.length)
    for (let at = 0; at < value.length; at += 100_000) {
      await sent.write(value.subarray(at, at + 100_000))
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    expect(await sent.end()).to.equal('200 {}')
    await until(async () => (await ends())[1] === 1)
    expect((await stage.record(topic, 1)).value!.equals(value)).to.equal(true)
  })

  it('pixy H15 R2: a synchronous answer names partition and offset, and the end advances', async () => {
    await place('key=1', 'before')
    const answer = await stage.pixy.produce(path('key=1&sync'), 'm')
    expect(answer.body).to.equal('{\n  "partition": 0,\n  "offset": 1\n}')
    expect(await ends()).to.deep.equal([2, 0, 0, 0])
  })

  it('pixy H16 R4: a message for a topic that does not exist is refused with sync, and accepted without', async () => {
    topic = `${topic}-gone`
    expect(brief(await stage.pixy.produce(path('sync'), 'm'))).to.equal(`404 {"error":"${NO_SUCH_TOPIC}"}`)
    expect(brief(await stage.pixy.produce(path(), 'm'))).to.equal('200 {}')
  })

  it('a topic that nobody creates is missing after a few look-ups, and not at the end of a wait', async () => {
    const other = await stage.another({ 'advanced.router.unknownTopicTimeoutMs': NEVER_MS })
    topic = `${topic}-gone`
    expect(brief(await other.produce(path('sync'), 'm'))).to.equal(`404 {"error":"${NO_SUCH_TOPIC}"}`)
  })

  it('a topic that brokers create is waited for: its first message is delivered', async () => {
    const other = await stage.another({
      'advanced.router.unknownTopicTimeoutMs': NEVER_MS,
      'delivery.createTopics': 'true'
    })
    topic = `${topic}-new`
    expect((await other.produce(path('sync'), 'm')).status).to.equal(200)
  })
})

/** Longer than any test, and than `syncTimeoutMs`. */
const NEVER_MS = '600000'

/** A POST whose body is sent piece by piece. */
function upload(url: URL, length: number) {
  const headers = { 'content-type': 'text/plain', 'content-length': length }
  const sent: ClientRequest = request(url, { method: 'POST', headers })
  const answer = new Promise<string>((resolve, reject) => {
    sent.on('error', reject).on('response', response => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => (body += text))
      response.on('end', () => resolve(`${response.statusCode} ${body}`))
    })
  })
  return {
    write: (piece: Buffer) => new Promise<void>(resolve => void sent.write(piece, () => resolve())),
    end: (): Promise<string> => {
      sent.end()
      return answer
    }
  }
}
