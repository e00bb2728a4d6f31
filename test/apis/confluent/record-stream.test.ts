import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough, Writable } from 'node:stream'
import { expect } from 'chai'
import { type RefusedRecord, refusedRecord } from '../../../src/apis/confluent/failures.js'
import { RecordAnswers } from '../../../src/apis/confluent/v3/record-answers.js'
import type { Collected } from '../../../src/apis/confluent/v3/record-reader.js'
import { RecordStream } from '../../../src/apis/confluent/v3/record-stream.js'
import { StreamTurns, type TurnLimits } from '../../../src/apis/confluent/v3/stream-turns.js'
import { type CastellanError, ForbiddenError, OverloadedError, QuotaExceededError } from '../../../src/core/errors.js'
import { costOf } from '../../../src/core/loop-turns.js'
import { silentLogger } from '../../../src/core/model.js'
import { type Caller, openAccess } from '../../../src/http/access/access.js'
import type { BodySource } from '../../../src/http/engine/body-source.js'
import { BufferPool } from '../../../src/http/exchange/body-collector.js'
import { confluentContract } from '../../support/confluent-contract.js'
import { FakeTime } from '../../support/fake-time.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { turns as ticks } from '../../support/ticks.js'

const IDLE_MS = 30_000
const MAX_MS = 100_000
const IN_FLIGHT = 1024 * 1024

/** An answer that a client reads, or does not. */
class FakeResponse extends Writable {
  text = ''
  status: number | undefined
  headers: Readonly<Record<string, string>> = {}
  isRead = true
  #unread: (() => void) | undefined

  constructor() {
    super({ highWaterMark: 100, decodeStrings: false })
  }

  override _write(chunk: string, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk
    if (this.isRead) done()
    else this.#unread = done
  }

  /** The client reads what it has not read. */
  read(): void {
    this.isRead = true
    this.#unread?.()
  }

  writeHead(status: number, headers: Readonly<Record<string, string>>): this {
    this.status = status
    this.headers = headers
    return this
  }

  flushHeaders(): void {}

  get lines(): { error_code: number; offset?: number; message?: string }[] {
    return this.text
      .split('\r\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line))
  }

  get codes(): number[] {
    return this.lines.map(({ error_code }) => error_code)
  }
}

/** Records with the schema 8 do not fit it. */
function encodedOf({ items, records, bytes }: Collected): Collected {
  const fits = items.map(({ unencoded }) => unencoded?.value?.named.id !== 8)
  return {
    items: items.map((item, at) => (fits[at] ? item : { refused: refusedRecord(400, 'it does not fit') })),
    records: records
      .filter((_, at) => fits[at])
      .map(record => ({ ...record, value: record.value ?? Buffer.from('encoded') })),
    bytes
  }
}

describe('confluent: a stream of records', () => {
  let time: FakeTime
  let verbs: FakeVerbs
  let payload: PassThrough & Partial<BodySource>
  let response: FakeResponse
  let stream: RecordStream
  /** What happened to the connection and the stream. */
  let events: string[]
  let held: number[]
  /** What was counted: records that were sent, and the codes of others. */
  let counted: (string | number)[]
  /** Records and bytes that quotas were asked for. */
  let charged: [number, number][]
  /** Lets the schemas be found for which records wait. */
  let encoding: (() => void)[]
  let onRefused: ((error: CastellanError) => void) | undefined
  let quota: CastellanError | undefined
  let room: OverloadedError | undefined
  /** Why nothing is encoded. */
  let noTime: OverloadedError | undefined
  let turnLimits: { -readonly [limit in keyof TurnLimits]: TurnLimits[limit] }
  let streamTurns: StreamTurns

  beforeEach(() => {
    time = new FakeTime()
    events = []
    held = []
    counted = []
    charged = []
    encoding = []
    onRefused = quota = room = noTime = undefined
    turnLimits = { costPerTick: 64 * 1024, costPerTickAlone: 0, costInFlight: IN_FLIGHT, costInFlightAlone: 0 }
    streamTurns = new StreamTurns(turnLimits)
    verbs = new FakeVerbs({ outcome: 'by hand' })
    payload = Object.assign(new PassThrough(), {
      openEnd: () => void events.push('open-ended'),
      holdOnly: (bytes: number) => {
        held.push(bytes)
        return room
      }
    })
    response = new FakeResponse()
    const socket = { destroySoon: () => void events.push('connection ends') }
    const request = { complete: false, socket, headers: {} } as object as IncomingMessage
    const caller: Caller = {
      ...openAccess.callerOf(request),
      watch: (_operation, _target, refused) => (onRefused = refused),
      charge: (records, bytes) => {
        charged.push([records, bytes])
        return quota
      }
    }
    stream = new RecordStream(
      { request, response: response as object as ServerResponse, payload: payload as BodySource, requestId: 'r' },
      { topic: 't', charset: 'utf8', answers: new RecordAnswers('c', 't'), mayRegister: () => false, owner: undefined },
      {
        caller,
        limits: { maxRecordBytes: 1_000, idleMs: IDLE_MS, maxMs: MAX_MS },
        log: silentLogger,
        clock: time.now,
        producer: {
          produce: records => verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 1 }),
          countFailed: known =>
            void counted.push(...known.map(one => (one as Partial<RefusedRecord>).answerCode ?? 'sent'))
        },
        writer: {
          encodeEach: (collected, _client, isPart) => {
            expect(isPart).to.equal(true)
            return new Promise((resolve, reject) =>
              encoding.push(() => (noTime === undefined ? resolve(encodedOf(collected)) : reject(noTime)))
            )
          }
        },
        turns: streamTurns,
        pool: new BufferPool(1024 * 1024)
      }
    )
    stream.start(() => events.push('over'))
  })
  afterEach(() => {
    time.restore()
    // The answer is as it is described.
    const { text: body, headers } = response
    const path = '/v3/clusters/c/topics/t/records'
    const seen = { method: 'POST', path, status: response.status!, type: headers['content-type'], body }
    if (body !== '') confluentContract.check({ ...seen, persisted: headers['x-castellan-persisted'] })
  })

  const send = async (text: string): Promise<void> => {
    payload.write(text)
    await ticks(6)
  }
  const settle = async (at: number, ...offsets: number[]): Promise<void> => {
    verbs.calls[at]!.settle(offsets.map(offset => delivered(0, offset)))
    await ticks(6)
  }

  it('begins its answer before anything has come', () => {
    expect([response.status, events]).to.deep.equal([200, ['open-ended']])
  })

  it('hands on the records of one piece together, and answers in their order whichever Kafka has first', async () => {
    await send('{}{}{"va')
    await send('lue":null}')
    expect(verbs.calls.map(({ records }) => records.length)).to.deep.equal([2, 1])
    await settle(1, 7)
    expect(response.lines).to.deep.equal([])
    await settle(0, 5, 6)
    expect(response.lines.map(({ offset }) => offset)).to.deep.equal([5, 6, 7])
  })

  it('holds memory only for a record that has not come as a whole', async () => {
    await send('{}{"va')
    await send('lue"')
    await send(':null}')
    expect(held).to.deep.equal([1_024, 1_024, 0])
  })

  describe('while a record waits for its schema', () => {
    const withSchema = '{"value":{"schema_id":7,"data":1}}'
    const plain = '{"value":{"type":"STRING","data":"plain"}}'
    const valuesOf = (): string[][] => verbs.calls.map(({ records }) => records.map(({ value }) => String(value)))

    it('reads no record behind it, so that none overtakes it', async () => {
      await send(plain + withSchema)
      await send(plain)
      await send(plain)
      expect([encoding.length, valuesOf()]).to.deep.equal([1, []])
      encoding[0]!()
      await ticks(6)
      expect(valuesOf()[0]).to.deep.equal(['plain', 'encoded'])
      expect(valuesOf().flat()).to.deep.equal(['plain', 'encoded', 'plain', 'plain'])
      let offset = 0
      for (const [at, { records }] of verbs.calls.entries()) await settle(at, ...records.map(() => ++offset))
      expect(response.lines.map(({ offset }) => offset)).to.deep.equal([1, 2, 3, 4])
    })

    it('answers it, and only then ends, when the body has ended meanwhile', async () => {
      await send(withSchema)
      payload.end()
      await ticks(6)
      expect([response.lines, response.writableEnded]).to.deep.equal([[], false])
      encoding[0]!()
      await ticks(6)
      await settle(0, 9)
      expect([response.lines.map(({ offset }) => offset), response.writableEnded]).to.deep.equal([[9], true])
    })

    it('answers a record that does not fit without asking Kafka', async () => {
      await send('{"value":{"schema_id":8,"data":1}}')
      encoding[0]!()
      await ticks(6)
      expect([response.codes, verbs.calls.length, counted]).to.deep.equal([[400], 0, [400]])
    })

    it('refuses it, and goes on, where there is no time to encode it', async () => {
      noTime = new OverloadedError('no time for it')
      await send(plain)
      await send(withSchema)
      encoding[0]!()
      await ticks(6)
      expect(response.destroyed).to.equal(false)
      await send(plain)
      await settle(0, 1)
      await settle(1, 2)
      expect(response.codes).to.deep.equal([200, 503, 200])
      expect(counted).to.deep.equal([503, 'sent', 'sent'])
    })
  })

  it('ends when the body has ended and every record is answered', async () => {
    await send('{}')
    payload.end()
    await ticks(6)
    expect(response.writableEnded).to.equal(false)
    await settle(0, 0)
    expect([response.codes, response.writableEnded]).to.deep.equal([[200], true])
  })

  it('counts outcomes and refused records, also those whose client has left', async () => {
    await send('{}{"value":7}{"key":{"type":"NONE"}}')
    response.destroy()
    await settle(0, 0)
    expect(counted).to.have.members(['sent', 400, 400])
  })

  it('says that the body ends inside a record, and where that begins', async () => {
    await send('{}\n {"value"')
    payload.end()
    await settle(0, 0)
    expect([response.codes, response.writableEnded]).to.deep.equal([[200, 400], true])
    expect(response.lines[1]!.message).to.match(/^the body ends inside a record, which begins at line 2 column 2 \(/)
  })

  it('says where what is no JSON object begins', async () => {
    await send('{}\n\n')
    await send('oops\n{}')
    await settle(0, 0)
    expect(response.codes).to.deep.equal([200, 400])
    expect(response.lines[1]!.message).to.match(/^what follows is not a JSON object, at line 3 column 1 \(/)
  })

  it('reads nothing more while the client does not read its answers', async () => {
    response.isRead = false
    await send('{}')
    await settle(0, 0)
    expect(payload.isPaused()).to.equal(true)
    await send('{}')
    expect(verbs.calls).to.have.length(1)
    response.read()
    await ticks(6)
    expect(verbs.calls).to.have.length(2)
    await settle(1, 1)
    expect(response.lines.map(({ offset }) => offset)).to.deep.equal([0, 1])
  })

  /** Lets Kafka have all that it has been given, until nothing more comes. */
  const settleAll = async (): Promise<void> => {
    for (let at = 0; at < verbs.calls.length; at++) {
      const { records, settle } = verbs.calls[at]!
      settle(records.map(() => delivered(0, 0)))
      await ticks(20)
    }
  }

  it('reads nothing more while its share of records waits for Kafka', async () => {
    await send('{}'.repeat(10_000))
    await ticks(200)
    const sent = verbs.calls.reduce((sum, { records }) => sum + records.length, 0)
    expect([payload.isPaused(), sent]).to.deep.equal([true, Math.ceil(IN_FLIGHT / costOf(2, 1))])
    await settleAll()
    expect([payload.isPaused(), response.lines.length]).to.deep.equal([false, 10_000])
  })

  it('reads nothing more while its share of records that cannot be used waits behind one that Kafka has', async () => {
    await send('{}')
    await send('{"a":1}'.repeat(10_000))
    await ticks(200)
    expect([payload.isPaused(), response.lines.length]).to.deep.equal([true, 0])
    await settle(0, 0)
    await ticks(400)
    expect([payload.isPaused(), response.lines.length]).to.deep.equal([false, 10_001])
  })

  it('reads one record larger than its share while nothing of it is in flight', async () => {
    turnLimits.costInFlight = 10
    await send('{}{}{}')
    expect([verbs.calls.length, payload.isPaused()]).to.deep.equal([1, true])
    await settleAll()
    expect([response.codes, verbs.calls.length]).to.deep.equal([[200, 200, 200], 3])
  })

  it('reads what waited for its turn after the body has ended, and answers all of it', async () => {
    turnLimits.costInFlight = 10
    payload.end('{}{}{"va')
    await ticks(6)
    expect(response.writableEnded).to.equal(false)
    await settleAll()
    expect([response.codes, response.writableEnded]).to.deep.equal([[200, 200, 400], true])
  })

  it('is not idle while it waits for its turn', async () => {
    await send('{"va')
    turnLimits.costPerTick = 0
    await send('lue":null}')
    await time.pass(2 * IDLE_MS, 1_000)
    expect([response.codes, verbs.calls.length, payload.isPaused()]).to.deep.equal([[], 0, true])
    turnLimits.costPerTick = 1
    streamTurns.ask({ work: () => 0 })
    await settle(0, 0)
    expect(response.codes).to.deep.equal([200])
  })

  // Less than the pool has, and more.
  for (const records of [2, 15]) {
    it(`copies what waits for its turn: the memory of its pieces may be used again, ${records} records`, async () => {
      turnLimits.costPerTick = 0
      const texts = Array.from({ length: records }, (_, at) => String.fromCharCode(97 + at).repeat(900))
      const halves = texts.flatMap(text => ['{"value":{"type":"STRING","data":"', `${text}"}}`])
      const pieces = halves.map(half => Buffer.from(half))
      for (const piece of pieces) payload.write(piece)
      await ticks(6)
      for (const piece of pieces) piece.fill('!')
      expect([verbs.calls.length, payload.isPaused()]).to.deep.equal([0, true])
      turnLimits.costPerTick = 64 * 1024
      streamTurns.ask({ work: () => 0 })
      await settleAll()
      const sent = verbs.calls.flatMap(call => call.records.map(({ value }) => value?.toString()))
      expect([sent, response.codes]).to.deep.equal([texts, texts.map(() => 200)])
    })
  }

  it('counts what waits for its turn as held', async () => {
    turnLimits.costInFlight = 10
    await send('{}{}')
    expect(held).to.deep.equal(['{}{}'.length])
    await settleAll()
    expect(held.at(-1)).to.equal(0)
  })

  it('a record whose time is no date is answered 400, and the next one is read', async () => {
    await send('{"timestamp":8650000000000}{"timestamp":8640000000000}')
    await settle(0, 0)
    expect(response.codes).to.deep.equal([400, 200])
  })

  it('ends at what is not JSON: texts inside it are no records', async () => {
    await send('{}{"value":{"type":"STRING","data":"x}}{"value":{"type":"STRING","data":"}}{}{}"}}')
    await settle(0, 0)
    expect([response.codes, response.writableEnded]).to.deep.equal([[200, 400], true])
    expect(verbs.calls.flatMap(({ records }) => records)).to.have.length(1)
  })

  it('a stream in which no record ends does not outlive its age by more than the time of silence', async () => {
    for (let passed = 0; passed < MAX_MS + IDLE_MS; passed += IDLE_MS / 2) {
      await send(' ')
      expect(response.writableEnded).to.equal(false)
      await time.pass(IDLE_MS / 2, 1_000)
    }
    await send(' ')
    expect([response.codes, response.writableEnded]).to.deep.equal([[408], true])
  })

  it('breaks when the outcomes never come because of a bug, and nothing else does', async () => {
    verbs.produce = () => ({ outcomes: () => Promise.reject(new Error('a bug')) }) as never
    await send('{}')
    expect([response.destroyed, events.includes('over')]).to.deep.equal([true, true])
  })

  it('a client that is silent between two records is ended without a further answer', async () => {
    await send('{}')
    await settle(0, 0)
    await time.pass(IDLE_MS - 1_000, 1_000)
    expect(response.writableEnded).to.equal(false)
    await time.pass(1_000, 1_000)
    expect([response.codes, response.writableEnded]).to.deep.equal([[200], true])
    expect(events).to.include('connection ends')
  })

  it('a client that is silent inside a record is answered 408', async () => {
    await send('{"value"')
    await time.pass(IDLE_MS + 1_000, 1_000)
    expect([response.codes, response.writableEnded]).to.deep.equal([[408], true])
  })

  it('is not idle while Kafka has its records, or the client its answers', async () => {
    await send('{}')
    await time.pass(2 * IDLE_MS, 1_000)
    expect(response.writableEnded).to.equal(false)
    response.isRead = false
    await settle(0, 0)
    await time.pass(2 * IDLE_MS, 1_000)
    expect(response.writableEnded).to.equal(false)
  })

  it('confluent 83: a record beyond the age of the stream is answered 408, and the stream ends', async () => {
    for (let passed = 0; passed < MAX_MS; passed += 20_000) {
      await send('{}')
      await settle(verbs.calls.length - 1, passed)
      await time.pass(20_000, 1_000)
    }
    await send('{}{}')
    expect(response.codes).to.deep.equal([200, 200, 200, 200, 200, 408])
    expect([response.writableEnded, events.at(-2)]).to.deep.equal([true, 'connection ends'])
  })

  it('confluent 77: records beyond a quota are answered 429 and not written, and the next ones are', async () => {
    quota = new QuotaExceededError('used up', 7)
    await send('{}{"other":1}')
    expect(response.codes).to.deep.equal([429, 400])
    quota = undefined
    await send('{}')
    await settle(0, 0)
    expect([response.codes, verbs.calls.length]).to.deep.equal([[429, 400, 200], 1])
  })

  it('charges records with all of their bytes, however many pieces they came in, and also those that cannot be used', async () => {
    const record = '{"value":{"type":"STRING","data":"abcdefgh"}}'
    for (const piece of [record.slice(0, 10), record.slice(10, 40), `${record.slice(40)}{"va`]) await send(piece)
    await send('lue":null}{"other":1}')
    expect(charged).to.deep.equal([
      [1, record.length],
      [1, '{"value":null}{"other":1}'.length]
    ])
  })

  it('ends when the client may no longer write, after the answers to what was read', async () => {
    await send('{}')
    onRefused!(new ForbiddenError('taken away'))
    await send('{}')
    expect(response.lines).to.deep.equal([])
    await settle(0, 0)
    expect([response.codes, response.writableEnded]).to.deep.equal([[200, 40301], true])
    expect(verbs.calls).to.have.length(1)
  })

  it('ends when there is no memory for a record', async () => {
    room = new OverloadedError('no room')
    await send('{"va')
    expect([response.codes, response.writableEnded]).to.deep.equal([[503], true])
  })

  it('a record larger than the limit ends it', async () => {
    await send(`{}{"value":"${'x'.repeat(1_000)}`)
    await settle(0, 0)
    expect([response.codes, response.writableEnded]).to.deep.equal([[200, 413], true])
  })

  it('when the process stops, it answers what was read, takes nothing more, and ends', async () => {
    await send('{}')
    stream.leave()
    await send('{}')
    expect([verbs.calls.length, response.writableEnded]).to.deep.equal([1, false])
    await settle(0, 0)
    expect([response.codes, response.writableEnded]).to.deep.equal([[200], true])
    expect(events).to.include('connection ends')
  })

  it('says of each failed record whether it is in Kafka', async () => {
    await send('{}')
    verbs.calls[0]!.settle([{ ...failure('timedOut'), persisted: 'unknown', retriable: true } as never])
    await ticks(6)
    expect(response.lines).to.have.length(1)
    expect(response.lines[0]).to.include({ error_code: 50003 })
    expect(response.lines[0]!.message).to.match(/\(in Kafka: unknown\)$/)
  })

  it('says that records which cannot be used are not in Kafka, and neither is what ends the stream', async () => {
    await send('{"value":{"type":"BINARY","data":"?"}}{"partition_id":-1}{"value":1}')
    quota = new QuotaExceededError('too many records', 1)
    await send('{}')
    await send('?')
    await ticks(6)
    expect(response.codes).to.deep.equal([400, 40402, 400, 429, 400])
    for (const { message } of response.lines) expect(message).to.match(/[^)] \(in Kafka: no\)$/)
  })

  it('keeps no timer when the client has left', async () => {
    await send('{}')
    response.destroy()
    await ticks(6)
    await settle(0, 0)
    expect([events.at(-1), time.timers]).to.deep.equal(['over', 0])
  })

  it('takes no turn when the client has left while it waited', async () => {
    turnLimits.costPerTick = 0
    await send('{}')
    response.destroy()
    await ticks(6)
    turnLimits.costPerTick = 1
    streamTurns.ask({ work: () => 0 })
    await ticks(6)
    expect([verbs.calls.length, events.at(-1), time.timers]).to.deep.equal([0, 'over', 0])
  })
})
