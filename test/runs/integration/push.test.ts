import { expect } from 'chai'
import fc from 'fast-check'
import type { App } from '../../../src/server/app/app.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const partitions = 3

interface PushRecord {
  readonly topic: string
  readonly data: string
  readonly key?: string | null
  readonly partition?: number
}

describe('POST /kprf/push', () => {
  inWorld()
  const stage = onCluster()
  let app: App

  before(async () => {
    app = await stage.app({ 'delivery.createTopics': 'false', 'advanced.router.unknownTopicTimeoutMs': '500' })
  })

  const push = async (
    records: readonly PushRecord[],
    waitForSend: boolean
  ): Promise<{ status: number; body: unknown; persisted: string | null }> => {
    const answer = await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records, wait_for_send: waitForSend })
    })
    const persisted = answer.headers.get('x-castellan-persisted')
    return { status: answer.status, body: await answer.json(), persisted }
  }
  const sent = { status: 200, body: { status: 'ok', errors: [] }, persisted: 'yes' }
  const accepted = { ...sent, persisted: 'pending' }

  const newTopic = (name: string, count = partitions): Promise<string> => stage.topic(name, count)
  const textsOf = async (topic: string, partition: number, count: number): Promise<unknown[]> =>
    [...(await stage.reader.read(topic, partition, count)).values()].map(({ key, value }) => [
      key === null ? null : key.toString(),
      value === null ? null : value.toString()
    ])

  it('brings every well-formed string into the log as its UTF-8 bytes', async () => {
    const topic = await newTopic('strings')
    // unit `binary` draws from all code points but lone surrogates, NUL and U+10FFFF among them.
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 50 }),
      fc.string({ unit: 'grapheme', maxLength: 50 }),
      fc.constantFrom('', '\u0000', '\uffff', '\u{10ffff}', '\u2028"\\/\b\f\n\r\t', '__proto__', 'constructor')
    )
    const seed = Date.now() % 1_000_000
    const record = fc.record({ data: text, key: fc.option(text), partition: fc.nat(partitions - 1) })
    const records = fc.sample(record, { numRuns: 3000, seed }).map(sample => ({ ...sample, topic }))
    for (let at = 0; at < records.length; at += 100) {
      expect(await push(records.slice(at, at + 100), true), `seed ${seed}`).to.deep.equal(sent)
    }
    for (let partition = 0; partition < partitions; partition++) {
      const expected = records.filter(of => of.partition === partition).map(({ key, data }) => [key, data])
      expect(await textsOf(topic, partition, expected.length), `seed ${seed}`).to.deep.equal(expected)
    }
  })

  it('keeps the order of requests that do not wait, in one partition', async () => {
    const topic = await newTopic('in-order', 1)
    expect(await push([{ topic, data: 'first' }], true)).to.deep.equal(sent)
    const values = Array.from({ length: 200 }, (_, index) => `value ${index}`)
    for (const data of values) expect(await push([{ topic, data, key: 'k' }], false)).to.deep.equal(accepted)
    const read = await textsOf(topic, 0, values.length + 1)
    expect(read.slice(1)).to.deep.equal(values.map(value => ['k', value]))
  })

  it('puts keys where librdkafka puts them', async () => {
    const topic = await newTopic('keyed', 7)
    // CRC-32 modulo 7 of the keys, from test/data/partitioner-vectors.json.
    const { crc32 } = (await import('../../data/partitioner-vectors.json', { with: { type: 'json' } })).default
    const vectors = crc32
      .filter(({ partitions: count, keyHex }) => count === 7 && keyHex !== '')
      .map(({ keyHex, partition }) => ({ key: Buffer.from(keyHex, 'hex').toString(), keyHex, partition }))
      .filter(({ key, keyHex }) => Buffer.from(key).toString('hex') === keyHex)
    expect(
      await push(
        vectors.map(({ key }) => ({ topic, key, data: key })),
        true
      )
    ).to.deep.equal(sent)
    for (let partition = 0; partition < 7; partition++) {
      const expected = vectors.filter(of => of.partition === partition).map(({ key }) => [key, key])
      expect(await textsOf(topic, partition, expected.length)).to.deep.equal(expected)
    }
  })

  it('fails the records of one unknown topic among many, and no others', async () => {
    const known = await Promise.all([1, 2, 3].map(() => newTopic('known', 1)))
    const unknown = freshTopic('unknown')
    const topics = [known[0]!, unknown, known[1]!, unknown, known[2]!]
    const { status, body, persisted } = await push(
      topics.map(topic => ({ topic, data: `to ${topic}` })),
      true
    )
    expect(status).to.equal(500)
    const message = 'Message production error: UnknownTopic (Local: Unknown topic)'
    const entry = (topic: string): unknown =>
      topic === unknown ? { error: true, message } : { error: false, message: null }
    expect(body).to.deep.equal({ status: 'err', errors: topics.map(entry) })
    expect(persisted).to.equal('ynyny')
    for (const topic of known) expect(await textsOf(topic, 0, 1)).to.deep.equal([[null, `to ${topic}`]])
  })

  it('serves others at once while one topic is unknown', async () => {
    const topic = await newTopic('others', 1)
    const unknown = freshTopic('unknown')
    const failing = push([{ topic: unknown, data: 'nowhere' }], true)
    expect(await push([{ topic, data: 'here' }], true)).to.deep.equal(sent)
    expect((await failing).status).to.equal(500)
  })
})
