import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Castellan, startCastellan } from '../../support/castellan.js'
import { ConfluentStage, JSON_RECORDS, JSON_TYPE, type Seen } from '../../support/confluent-stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { type RecordAnswer, RecordStreamClient } from './record-stream-client.js'

const PENDING = /\(in Kafka: pending\)$/
const value = (data: string) => ({ key: { type: 'STRING', data: 'k' }, value: { type: 'STRING', data } })

/** Every record is in the durable log, and Kafka does not have it yet. */
function expectPending(records: readonly RecordAnswer[], count: number): void {
  expect(records.map(({ error_code }) => error_code)).to.deep.equal(new Array(count).fill(50003))
  for (const { message } of records) expect(message).to.match(PENDING)
}

describe('confluent: records that are kept on disk', function () {
  this.timeout(180_000)
  let stage: ConfluentStage
  let reader: Castellan
  let folder: string
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-confluent-'))
    // So soon are requests answered that Kafka keeps waiting; a busy machine keeps others waiting as well.
    stage = await ConfluentStage.open({ ...onDisk('impatient'), 'apis.confluent.syncTimeoutMs': '1000' })
    reader = await startCastellan(stage.cluster.bootstrap)
  })
  after(async () => {
    await reader?.close()
    await stage?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const onDisk = (name: string) => ({ 'apis.confluent.durability': 'disk', 'wal.directory': join(folder, name) })
  const all = (act: (node: number) => Promise<void>): Promise<unknown> => Promise.all(stage.cluster.nodeIds.map(act))
  const away = () => all(node => stage.cluster.pauseNode(node))
  const back = () => all(node => stage.cluster.resumeNode(node))
  const records = (topic: string): string => `/v3/clusters/c1/topics/${topic}/records`
  const v2 = (topic: string, ...values: string[]): Promise<Seen> => produced(stage, topic, values)
  const produced = (by: ConfluentStage, topic: string, values: readonly string[]): Promise<Seen> =>
    by.produce(
      topic,
      JSON_RECORDS,
      values.map(one => ({ key: 'k', value: one }))
    )
  const single = async (topic: string, data: string, by = stage) => {
    const { status, persisted, body } = await by.post(records(topic), JSON_TYPE, value(data))
    return { status, persisted, answer: body as RecordAnswer }
  }
  const batch = async (topic: string, values: readonly string[], by = stage) => {
    const entries = values.map((data, at) => ({ id: String(at), ...value(data) }))
    const { status, persisted, body } = await by.post(`${records(topic)}:batch`, JSON_TYPE, { entries })
    return { status, persisted, ...(body as { successes: RecordAnswer[]; failures: RecordAnswer[] }) }
  }
  const stored = async (topic: string): Promise<string[]> =>
    (await reader.readAll(topic, 0)).map(({ value }) => String(value))

  it('they are answered when Kafka has them while it is there', async () => {
    const patient = await ConfluentStage.open(onDisk('patient'))
    try {
      const topic = await patient.topic(1)
      const first = await produced(patient, topic, ['a'])
      expect([first.status, first.persisted]).to.deep.equal([200, 'yes'])
      const second = await single(topic, 'b', patient)
      expect([second.persisted, second.answer.offset]).to.deep.equal(['yes', 1])
      const third = await batch(topic, ['c', 'd'], patient)
      expect([third.status, third.persisted, third.failures]).to.deep.equal([207, 'yes', []])
      const stream = new RecordStreamClient(patient.url + records(topic))
      stream.send(value('e'))
      expect(await stream.next()).to.include({ error_code: 200, offset: 4 })
      stream.end()
      expect(await stream.rest()).to.deep.equal([])
    } finally {
      await patient.close()
    }
  })

  it('while Kafka is away each is answered as pending, and delivered later, once and in order', async () => {
    const topic = await stage.topic(1)
    await v2(topic, 'first')
    const stream = new RecordStreamClient(stage.url + records(topic))
    await away()
    try {
      const many = await v2(topic, 'a', 'b')
      const { offsets } = many.body as { offsets: { error_code: number; partition: unknown; offset: unknown }[] }
      expect([many.status, many.persisted]).to.deep.equal([200, 'pending'])
      for (const one of offsets) expect(one).to.include({ error_code: 50003, partition: null, offset: null })
      const one = await single(topic, 'c')
      expect([one.status, one.persisted]).to.deep.equal([200, 'pending'])
      expectPending([one.answer], 1)
      const { status, persisted, successes, failures } = await batch(topic, ['d', 'e'])
      expect([status, persisted, successes]).to.deep.equal([207, 'pending', []])
      expectPending(failures, 2)
      stream.send(value('f'), value('g'))
      expectPending([(await stream.next())!, (await stream.next())!], 2)
    } finally {
      await back()
    }
    const expected = ['"first"', '"a"', '"b"', 'c', 'd', 'e', 'f', 'g']
    await reader.read(topic, 0, expected.length)
    // The stream is open all the while.
    stream.send(value('last'))
    stream.end()
    expect(await stream.rest()).to.have.length(1)
    await reader.read(topic, 0, 1, expected.length)
    expect(await stored(topic)).to.deep.equal([...expected, 'last'])
  })

  it('records for a topic that is missing are kept for it, and not answered as if they were not', async () => {
    const topic = freshTopic('missing')
    const many = await v2(topic, 'a')
    expect([many.status, many.persisted]).to.deep.equal([200, 'pending'])
    expect((many.body as { offsets: object[] }).offsets[0]).to.include({ error_code: 50003 })
    const one = await single(topic, 'b')
    expect(one.persisted).to.equal('pending')
    expectPending([one.answer], 1)
    await stage.cluster.createTopic(topic, 1)
    await reader.read(topic, 0, 2)
    expect(await stored(topic)).to.deep.equal(['"a"', 'b'])
  })
})
