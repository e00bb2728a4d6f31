import { expect } from 'chai'
import { ProtocolError } from '../../../src/core/errors.js'
import { ProtocolReader } from '../../../src/kafka/protocol/encoding.js'
import { produceV7 } from '../../../src/kafka/protocol/produce.js'
import type { BatchAnswer } from '../../../src/router/messages/operations.js'
import { ProduceAdmission, produceBatch } from '../../../src/router/processors/produce-admission.js'
import { ResponseBuilder } from '../../support/response-builder.js'
import { ProcessorStage } from './stage.js'

/** A partition of an answer. Its offset tells which one it is. */
type Answered = readonly [topic: string, partition: number, baseOffset: number, errorCode?: number]

/** Names that begin like others or have as many characters, and one that is not ASCII. */
const TOPICS = ['a-1', 'a-10', 'a-2', 'ä-3']
const PARTITIONS = [0, 1, 7]
const ASKED = TOPICS.flatMap(topic => PARTITIONS.map(partition => [topic, partition] as const))
const IN_ORDER = ASKED.map(([topic, partition], at) => [topic, partition, at] as const)
const placeOf = ([topic, partition]: readonly [string, number, ...unknown[]]): string => `${topic}/${partition}`

/** Each partition has a topic of its own in the answer, as brokers may write it. */
function payloadOf(rows: readonly Answered[]): Buffer {
  const builder = new ResponseBuilder()
  builder.array(rows, ([topic, partition, baseOffset, errorCode = 0]) => {
    builder.string(topic).int32(1).int32(partition).int16(errorCode).int64(baseOffset).int64(-1).int64(0)
  })
  return builder.int32(0).payload
}

/** What each batch of a call is told: offsets, error codes, or that nothing is known. */
function toldBy(
  rows: readonly Answered[],
  damage: (payload: Buffer) => Buffer = payload => payload
): Record<string, (number | string)[]> {
  const stage = new ProcessorStage()
  const limits = { requestMaxBytes: 100_000, brokerTimeoutMs: 1_500, callMarginMs: 1_500 }
  const produce = new ProduceAdmission({ ...limits, now: () => stage.now })
  const told: Record<string, (number | string)[]> = {}
  for (const [topic, partition] of ASKED) {
    const answers: (number | string)[] = []
    told[placeOf([topic, partition])] = answers
    const answer = (one: BatchAnswer) => {
      if (one.type === 'appended') answers.push(one.baseOffset)
      else answers.push(one.type === 'rejected' ? `code ${one.errorCode}` : one.type)
    }
    const batch = { topic, partition, bytes: Buffer.alloc(10), answer }
    const accepted = stage.openRequests.accept(produceBatch, batch, 5_000, stage.now)
    accepted.partition = stage.partition(topic, partition)
    produce.addToQueue(accepted)
  }
  const call = produce.main.nextCall()!
  const partitions = call.batches.map(({ request }) => request)
  try {
    const reader = new ProtocolReader(damage(payloadOf(rows)))
    const response = produceV7.decode(reader, { acks: -1, brokerTimeoutMs: 1, timeoutMs: 1, partitions })
    reader.end()
    produce.main.processResponse(call, response)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    expect(Object.values(told).flat(), 'a damaged answer has told something').to.deep.equal([])
    produce.main.callFailed(call, error, true)
  }
  expect(stage.openRequests.open).to.equal(0)
  return told
}

const numbersFrom =
  (seed: number) =>
  (below: number): number =>
    (seed = (seed * 16_807) % 2_147_483_647) % below

const expected = (of: (place: string, at: number) => number | string): Record<string, (number | string)[]> =>
  Object.fromEntries(ASKED.map((row, at) => [placeOf(row), [of(placeOf(row), at)]]))

describe('the answer of a broker to many batches', () => {
  const all = expected((_, at) => at)

  it('tells each batch once what became of it, in whatever order its partitions are', () => {
    expect(toldBy(IN_ORDER)).to.deep.equal(all)
    expect(toldBy([...IN_ORDER].reverse())).to.deep.equal(all)
    for (let from = 1; from < IN_ORDER.length; from++) {
      expect(toldBy([...IN_ORDER.slice(from), ...IN_ORDER.slice(0, from)])).to.deep.equal(all)
      const swapped = [...IN_ORDER]
      swapped[from - 1] = IN_ORDER[from]!
      swapped[from] = IN_ORDER[from - 1]!
      expect(toldBy(swapped)).to.deep.equal(all)
    }
  })

  it('counts for a batch only when it names its partition first', () => {
    for (const again of IN_ORDER) {
      const [topic, partition, offset] = again
      for (let at = offset + 1; at <= IN_ORDER.length; at++) {
        const later = [topic, partition, 1_000, 6] as const
        expect(toldBy([...IN_ORDER.slice(0, at), later, ...IN_ORDER.slice(at)])).to.deep.equal(all)
      }
    }
  })

  it('leaves the batches in doubt that it does not name, and no others', () => {
    for (const left of IN_ORDER) {
      const rest = IN_ORDER.filter(row => row !== left)
      const inDoubt = expected((place, at) => (place === placeOf(left) ? 'unanswered' : at))
      expect(toldBy(rest)).to.deep.equal(inDoubt)
      expect(toldBy([...rest].reverse())).to.deep.equal(inDoubt)
    }
    expect(toldBy([])).to.deep.equal(expected(() => 'unanswered'))
  })

  it('is not taken for that of another partition where it names one that nobody has asked for', () => {
    const strangers: Answered[] = [
      ['a-1', 2, 1_000],
      ['a-', 0, 1_000],
      ['a-3', 7, 1_000],
      ['', 0, 1_000],
      ['a-1', -1, 1_000]
    ]
    for (const stranger of strangers) {
      for (let at = 0; at <= IN_ORDER.length; at++)
        expect(toldBy([...IN_ORDER.slice(0, at), stranger, ...IN_ORDER.slice(at)])).to.deep.equal(all)
    }
  })

  it('tells each batch once whatever it has twice, leaves out or makes up, in any order', () => {
    const random = numbersFrom(1)
    for (let round = 0; round < 300; round++) {
      const rows = Array.from({ length: random(2 * ASKED.length) }, (_, at): Answered => {
        const [topic, partition] = ASKED[random(ASKED.length)]!
        return random(8) === 0 ? [`${topic}0`, partition, at] : [topic, partition, at, random(4) === 0 ? 6 : 0]
      })
      const first = (place: string) => rows.find(row => placeOf(row) === place)
      const asAnswered = (place: string) => {
        const row = first(place)
        if (row === undefined) return 'unanswered'
        return (row[3] ?? 0) === 0 ? row[2] : `code ${row[3]}`
      }
      expect(toldBy(rows)).to.deep.equal(expected(asAnswered))
    }
  })

  it('leaves all batches in doubt where it ends early, however late', () => {
    const { length } = payloadOf(IN_ORDER)
    for (let end = 0; end < length; end++) {
      expect(toldBy(IN_ORDER, payload => payload.subarray(0, end))).to.deep.equal(expected(() => 'unanswered'))
    }
    expect(toldBy(IN_ORDER, payload => Buffer.concat([payload, payload.subarray(0, 1)]))).to.deep.equal(
      expected(() => 'unanswered')
    )
  })

  it('tells each batch one thing, whichever byte of it is another one', () => {
    const random = numbersFrom(2)
    const { length } = payloadOf(IN_ORDER)
    for (let at = 0; at < length; at++) {
      const told = toldBy(IN_ORDER, payload => {
        payload[at]! ^= 1 << random(8)
        return payload
      })
      for (const [place, answers] of Object.entries(told)) expect(answers, `${place}, byte ${at}`).to.have.length(1)
    }
  })

  it('has an error for single partitions, wherever they are in it', () => {
    for (const refused of IN_ORDER) {
      const rows = IN_ORDER.map(row => (row === refused ? ([row[0], row[1], -1, 6] as const) : row))
      const one = expected((place, at) => (place === placeOf(refused) ? 'code 6' : at))
      expect(toldBy(rows)).to.deep.equal(one)
      expect(toldBy([...rows].reverse())).to.deep.equal(one)
    }
  })
})
