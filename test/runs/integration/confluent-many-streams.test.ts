import { expect } from 'chai'
import { call } from '../../support/access.js'
import { ConfluentStage, JSON_TYPE } from '../../support/confluent-stage.js'
import { inWorld } from './in-world.js'
import { RecordStreamClient } from './record-stream-client.js'

const STREAMS = 100
const RECORDS = 64
const PARTITIONS = 2
const record = { value: { type: 'STRING', data: 'x'.repeat(1_000) } }

describe('confluent: many streams of records', () => {
  inWorld()
  let stage: ConfluentStage
  let url: string
  let topic: string
  before(async () => {
    // The records of all streams do not fit.
    stage = await ConfluentStage.open({ 'delivery.maxBytes': String(4 * 1024 * 1024) })
    topic = await stage.topic(PARTITIONS)
    url = `${stage.url}/v3/clusters/c1/topics/${topic}/records`
  })
  after(() => stage?.close())

  it('have all their answers in order, and so has a client beside them', async () => {
    const streams = Array.from({ length: STREAMS }, () => new RecordStreamClient(url))
    await Promise.all(streams.map(({ response }) => response))
    let areOpen = true
    const polite = (async () => {
      const codes: number[] = []
      do {
        const { body } = await call(url, {
          method: 'POST',
          headers: { 'content-type': JSON_TYPE },
          body: JSON.stringify(record)
        })
        codes.push(JSON.parse(body).error_code)
      } while (areOpen)
      return codes
    })()
    for (const stream of streams) {
      stream.send(...new Array<object>(RECORDS).fill(record))
      stream.end()
    }
    const answers = await Promise.all(streams.map(stream => stream.rest()))
    areOpen = false
    const politeCodes = await polite
    expect(new Set(politeCodes)).to.deep.equal(new Set([200]))
    for (const one of answers) {
      expect(one.map(({ error_code }) => error_code)).to.deep.equal(new Array(RECORDS).fill(200))
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const offsets = one.filter(({ partition_id }) => partition_id === partition).map(({ offset }) => offset!)
        expect(offsets).to.deep.equal([...new Set(offsets)].sort((a, b) => a - b))
      }
    }
    const places = answers.flat().map(({ partition_id, offset }) => `${partition_id}/${offset}`)
    expect(new Set(places).size).to.equal(STREAMS * RECORDS)
    const ends = await Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => stage.endOf(topic, partition)))
    expect(ends.reduce((sum, end) => sum + end, 0)).to.equal(STREAMS * RECORDS + politeCodes.length)
  })

  it('leave their turns to the others when their clients leave', async () => {
    const leaving = Array.from({ length: STREAMS / 2 }, () => new RecordStreamClient(url))
    const staying = Array.from({ length: 4 }, () => new RecordStreamClient(url))
    for (const stream of [...leaving, ...staying]) stream.send(...new Array<object>(RECORDS).fill(record))
    await Promise.all(leaving.map(stream => stream.next()))
    for (const stream of leaving) stream.destroy()
    for (const stream of staying) stream.end()
    for (const stream of staying) {
      expect((await stream.rest()).map(({ error_code }) => error_code)).to.deep.equal(new Array(RECORDS).fill(200))
    }
  })
})
