import { expect } from 'chai'
import {
  type Castellan,
  InvalidRequestError,
  type NewRecord,
  openCastellan,
  ProduceError,
  type ProduceOptions,
  type RecordOutcome
} from '../../src/client.js'
import { onBroker } from '../support/stage.js'
import { walDirectoryOf } from '../support/wal-directory.js'

const NOT_A_TOPIC = 'not a topic'

describe('a program of Node', () => {
  const stage = onBroker()
  let castellan: Castellan
  before(async () => {
    stage.cluster.createTopic('orders', { partitions: 4 })
    castellan = await stage.library()
  })

  const written = (outcome: RecordOutcome | undefined) => {
    if (outcome?.type !== 'delivered') throw new Error(JSON.stringify(outcome))
    return stage.cluster.records('orders', outcome.partition).find(({ offset }) => offset === outcome.offset)!
  }
  const headersOf = (outcome: RecordOutcome | undefined): string[] =>
    written(outcome).headers.map(({ key, value }) => `${key}=${value}`)

  it('writes one record without options, and gets a list of one outcome', async () => {
    const outcomes = await castellan.produce({ topic: 'orders', value: 'one book' })
    expect(outcomes).to.have.length(1)
    expect(written(outcomes[0])).to.deep.include({ key: null, value: Buffer.from('one book') })
  })

  it('writes bytes of a part of an ArrayBuffer, and null', async () => {
    const bytes = new Uint8Array([9, 1, 2, 9]).subarray(1, 3)
    const outcomes = await castellan.produce([
      { topic: 'orders', key: bytes, value: bytes },
      { topic: 'orders', key: 'gone', value: null }
    ])
    expect(written(outcomes[0])).to.deep.include({ key: Buffer.from([1, 2]), value: Buffer.from([1, 2]) })
    expect(written(outcomes[1])).to.deep.include({ key: Buffer.from('gone'), value: null })
  })

  it('writes headers that are given as an object, in which a list repeats its key', async () => {
    const text: Record<string, string> = { type: 'order' }
    const bytes = { a: ['1', new Uint8Array([50]), null], ['__proto__']: 'p' }
    const outcomes = await castellan.produce([
      { topic: 'orders', value: 'x', headers: text },
      { topic: 'orders', value: 'x', headers: bytes }
    ])
    expect(headersOf(outcomes[0])).to.deep.equal(['type=order'])
    expect(headersOf(outcomes[1])).to.deep.equal(['a=1', 'a=2', 'a=null', '__proto__=p'])
  })

  it('writes headers that are given as a list', async () => {
    const headers = [
      { key: 'b', value: '1' },
      { key: 'a', value: null },
      { key: 'b', value: new Uint8Array([50]) }
    ]
    expect(headersOf((await castellan.produce({ topic: 'orders', value: 'x', headers }))[0])).to.deep.equal([
      'b=1',
      'a=null',
      'b=2'
    ])
  })

  it('names the partition and the time of a record', async () => {
    const record: NewRecord = { topic: 'orders', value: 'x', partition: 3, timestampMs: 1_000 }
    const [outcome] = await castellan.produceOrThrow(record)
    expect(outcome).to.deep.include({ partition: 3, timestampMs: 1_000 })
  })

  it('chooses the partition of each record once, by a function of its own', async () => {
    const asked: unknown[] = []
    const partitioner: ProduceOptions['partitioner'] = (key, partitions, topic) => {
      asked.push([key, partitions, topic])
      return Number(key?.toString() ?? 2)
    }
    const records = ['3', null, '0', null].map(key => ({ topic: 'orders', key, value: 'x' }))
    const outcomes = await castellan.produceOrThrow(records, { partitioner })
    expect(outcomes.map(({ partition }) => partition)).to.deep.equal([3, 2, 0, 2])
    const keys = [Buffer.from('3'), null, Buffer.from('0'), null]
    expect(asked).to.deep.equal(keys.map(key => [key, 4, 'orders']))
  })

  it('chooses the partitions of a topic that was not known before by a function', async () => {
    stage.cluster.createTopic('unknown', { partitions: 2 })
    const records = ['1', '0', '7'].map(key => ({ topic: 'unknown', key, value: 'x' }))
    const outcomes = await castellan.produce(records, { partitioner: key => Number(String(key)) })
    expect(outcomes[0]).to.include({ type: 'delivered', partition: 1 })
    expect(outcomes[1]).to.include({ type: 'delivered', partition: 0 })
    expect(outcomes[2]).to.include({ type: 'failed', code: 'invalidRequest', persisted: 'no' })
  })

  for (const [how, partitioner, message] of [
    ['throws', () => JSON.parse('{'), /^the partitioner threw: /],
    ['chooses a partition that there is not', () => 4, /from 0 to 3, not 4$/],
    ['chooses no number', () => '1' as never, /from 0 to 3, not string$/],
    ['is asynchronous', (async () => 1) as never, /from 0 to 3, not a promise$/]
  ] as const satisfies [string, ProduceOptions['partitioner'], RegExp][]) {
    it(`fails the records whose partitioner ${how}, and no others`, async () => {
      const records = [
        { topic: 'orders', value: 'x' },
        { topic: 'orders', value: 'x', partition: 0 }
      ]
      const [first, second] = await castellan.produce(records, { partitioner })
      expect(first).to.include({ type: 'failed', code: 'invalidRequest', persisted: 'no' })
      expect(first).to.have.property('message').that.matches(message)
      expect(second).to.include({ type: 'delivered', partition: 0 })
    })
  }

  it('is told at once that records for the durable log take no function as their partitioner', async () => {
    const own = await stage.library({ wal: { directory: walDirectoryOf('apps') } })
    const record = { topic: 'orders', value: 'x' }
    expect(() => own.produce(record, { durability: 'disk', partitioner: () => 0 })).to.throw(
      InvalidRequestError,
      /durability disk the partitioner cannot be a function/
    )
  })

  it('gets an error with the outcome of each record where one is not in Kafka', async () => {
    const records = ['orders', NOT_A_TOPIC, 'orders'].map(topic => ({ topic, value: 'x' }))
    const error: unknown = await castellan.produceOrThrow(records).catch((thrown: unknown) => thrown)
    if (!(error instanceof ProduceError)) throw error
    expect(error).to.include({ name: 'ProduceError', code: 'invalidTopic', persisted: 'no', retriable: false })
    expect(error.message).to.match(/^1 of 3 records failed, the first one: "not a topic" is not a legal topic name$/)
    expect(error.outcomes.map(({ type }) => type)).to.deep.equal(['delivered', 'failed', 'delivered'])
  })

  it('learns from the error that it is unknown whether a record is in Kafka', async () => {
    const silence = stage.cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'dropResponse' })
    const error: unknown = await castellan
      .produceOrThrow({ topic: 'orders', value: 'x' }, { deadlineMs: 500 })
      .catch((thrown: unknown) => thrown)
    silence.remove()
    expect(error).to.include({ name: 'ProduceError', code: 'timedOut', persisted: 'unknown', retriable: true })
  })

  it('writes more records at once than the buffer holds: they wait', async () => {
    const maxBytes = 1024 * 1024
    const small = await stage.library({ delivery: { maxBytes, maxPartitionBytes: maxBytes / 4 } })
    const records = Array.from({ length: 8_000 }, (_, at) => ({
      topic: 'many',
      value: `${at}`.padEnd(1_000),
      partition: at % 2
    }))
    stage.cluster.createTopic('many', { partitions: 2 })
    expect(await small.produceOrThrow(records)).to.have.length(8_000)
    for (const partition of [0, 1]) {
      const places = stage.cluster.records('many', partition).map(({ value }) => Number(value))
      expect(places).to.deep.equal(Array.from({ length: 4_000 }, (_, at) => 2 * at + partition))
    }
  })

  it('is told what is wrong with a record by its outcome', async () => {
    const records = ['a text', null, { topic: 'orders' }, { topic: 'orders', value: 'x', headers: [null] }] as never
    const outcomes = await castellan.produce(records)
    expect(outcomes.map(outcome => outcome.type === 'failed' && outcome.code)).to.deep.equal(
      new Array(4).fill('invalidRequest')
    )
  })

  it('is told at once of a deadline that is no time', () => {
    for (const deadlineMs of [-1, Number.NaN, '5' as never]) {
      const produce = () => castellan.produce({ topic: 'orders', value: 'x' }, { deadlineMs })
      expect(produce, String(deadlineMs)).to.throw(InvalidRequestError, /^deadlineMs has to be a number/)
    }
  })

  it('closes with the block that has opened it', async () => {
    let left: Castellan
    {
      await using opened = await openCastellan({ brokers: stage.bootstrap })
      await opened.produceOrThrow({ topic: 'orders', value: 'x' })
      left = opened
    }
    const [outcome] = await left.produce({ topic: 'orders', value: 'x' })
    expect(outcome).to.include({ type: 'failed', code: 'shuttingDown' })
  })

  it('gives closing a time limit, and is told that a number is none', async () => {
    const opened = await openCastellan({ brokers: stage.bootstrap })
    for (const wrong of [5_000, null, { timeoutMs: -1 }, { timeoutMs: 'soon' }]) {
      const error: unknown = await opened.close(wrong as never).catch((thrown: unknown) => thrown)
      expect(error, JSON.stringify(wrong)).to.be.instanceOf(InvalidRequestError)
    }
    expect(await opened.close({ timeoutMs: 5_000 })).to.equal(0)
  })

  it('counts a record as lost only if nobody asks for its outcome', async () => {
    const nowhere = await openCastellan({ brokers: '127.0.0.1:1' })
    const asked = nowhere.produce({ topic: 'orders', value: 'x' })
    const outcomes = asked.then(list => list)
    nowhere.produce({ topic: 'orders', value: 'x' })
    expect(await nowhere.close({ timeoutMs: 0 })).to.equal(2)
    expect(nowhere.losses.records).to.equal(1)
    expect((await outcomes)[0]).to.include({ type: 'failed', code: 'shuttingDown' })
    expect(await asked.finally(() => undefined)).to.equal(await asked.catch(() => []))
  })
})
