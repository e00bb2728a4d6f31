import { expect } from 'chai'
import { RecordAnswers } from '../../src/apis/confluent/v3/record-answers.js'
import { AgentRecords } from '../../src/apis/mcp/produce-api.js'
import { atOnce } from '../../src/core/loop-turns.js'
import type { RecordOutcome } from '../../src/core/model.js'
import { outcomesAnswer } from '../../src/http/exchange/modern-answers.js'
import { statesJson } from '../../src/verbs/receipts.js'
import { ODD_TIMES, type OddTime } from '../support/odd-times.js'
import { PixyPlay, PlayedVerbs } from './kafka-pixy/play.js'

/** A broker tells the time of records whose topic has `message.timestamp.type=LogAppendTime`. */
const written = ({ timestampMs }: OddTime): RecordOutcome & { readonly type: 'delivered' } => ({
  type: 'delivered',
  partition: 0,
  offset: 7,
  timestampMs: Number(timestampMs)
})

/** What a client is told of the time of a record that it has written. */
const answers: Readonly<Record<string, (time: OddTime) => unknown | Promise<unknown>>> = {
  'an answer that every API has': time => {
    const { body } = atOnce(outcomesAnswer([written(time)]))
    return JSON.parse(String(body)).records[0].timestamp
  },
  'an answer to an agent': time => {
    const { body } = new AgentRecords(new Map(), {} as never).answer([written(time)])
    return JSON.parse(String(body)).timestamp
  },
  'an answer of Kafka-Pixy': async time => {
    const verbs = new PlayedVerbs()
    const pixy = await PixyPlay.start({}, { verbs })
    verbs.produce = () => ({ ...new PlayedVerbs().produce([], {} as never), outcomes: async () => [written(time)] })
    const { body } = await pixy.ask('POST', '/topics/orders/messages?sync&timestamp', 'm', {
      'content-type': 'text/plain'
    })
    return JSON.parse(String(body)).timestamp
  }
}

describe('the time of a record that was written', () => {
  for (const [way, told] of Object.entries(answers))
    it(`is that of Kafka in ${way}, or null where a number does not have it exactly`, async () => {
      for (const time of ODD_TIMES) expect(await told(time), `${time.timestampMs}`).to.equal(time.number)
    })

  it('is null in a receipt where Kafka has told none, or a number does not have it exactly', () => {
    for (const time of ODD_TIMES) {
      const { number } = time
      const state = { ...written(time), state: 'inKafka', topic: 'orders' } as const
      const [told] = statesJson({ from: 0, records: [state] })
      expect(told, `${time.timestampMs}`).to.include({ timestamp: number === null || number < 0 ? null : number })
    }
  })

  it('is a text of version 3, or null where there is none', () => {
    const answers = new RecordAnswers('cluster', 'orders')
    for (const time of ODD_TIMES) {
      const { timestamp } = JSON.parse(answers.of(written(time), {}))
      expect(timestamp, `${time.timestampMs}`).to.equal(time.iso)
    }
  })
})
