import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { type Started, startApi } from '../http/server/stage.js'
import { delivered, FakeVerbs, failure } from '../support/fake-verbs.js'
import { RawSocket } from '../support/raw-socket.js'

const LINES = 'application/x-ndjson'
const RECORDS = '/v3/clusters/c/topics/t/records'

/** What log shippers send: one object a line. */
describe('a body of lines', function () {
  this.timeout(30_000)
  let started: Started
  let verbs: FakeVerbs
  afterEach(() => started.http.close())

  const start = async (api: string, outcome: ConstructorParameters<typeof FakeVerbs>[0] = {}): Promise<void> => {
    verbs = new FakeVerbs(outcome)
    started = await startApi(api, verbs)
  }
  const send = async (path: string, type: string, body: string | Buffer, further = ''): Promise<string> => {
    const socket = await RawSocket.open(started.http.urls.shared)
    const head = `POST /loud${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\n${further}content-length: ${body.length}\r\n\r\n`
    await socket.send(Buffer.concat([Buffer.from(head), Buffer.from(body as string)]))
    const answer = await socket.until(text => {
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1]
      return length !== undefined && text.length >= text.indexOf('\r\n\r\n') + 4 + Number(length)
    })
    socket.destroy()
    return answer
  }
  const told = (answer: string): readonly [string, string] => [answer.slice(9, 12), answer.split('\r\n\r\n')[1]!]
  const written = (): unknown[] =>
    verbs.records.map(({ topic, key, value, partition }) => [topic, key && String(key), String(value), partition])

  const OK = ['200', '{"status":"ok","errors":[]}'] as const
  const line = (topic: string, data: string, more = ''): string => `{"topic":"${topic}","data":"${data}"${more}}`

  it('is pushed to kprf as fluent-bit and Vector send it, one record a line', async () => {
    await start('kprf', { outcome: () => delivered(1, 7) })
    // Vector: `framing.method: newline_delimited`, which ends each line, and `compression: gzip`.
    const vector = `${line('a', '1', ',"key":"k"')}\n${line('b', '2', ',"partition":3')}\n`
    expect(told(await send('/push', LINES, gzipSync(vector), 'content-encoding: gzip\r\n'))).to.deep.equal(OK)
    // fluent-bit: `format json_lines`, with a date of its own.
    const fluent = `{"date":1795206744.016,${line('a', '3').slice(1)}\n{"date":1795206745,${line('a', '4').slice(1)}\n`
    expect(told(await send('/push/', `${LINES}; charset=utf-8`, fluent))).to.deep.equal(OK)
    expect(written()).to.deep.equal([
      ['a', 'k', '1', undefined],
      ['b', null, '2', 3],
      ['a', null, '3', undefined],
      ['a', null, '4', undefined]
    ])
  })

  it('is answered by kprf when Kafka has all of its records', async () => {
    await start('kprf', { outcome: 'by hand' })
    const answer = send('/push', LINES, `${line('a', '1')}\n`)
    while (verbs.calls.length === 0) await new Promise(setImmediate)
    expect(verbs.calls[0]!.options.deadlineMs).to.equal(2_000)
    verbs.calls[0]!.settle([delivered()])
    const text = await answer
    expect(text).to.match(/\r\nx-castellan-persisted: yes\r\n/)
    expect(told(text)).to.deep.equal(OK)
  })

  it('may be empty, long, or have blank lines and objects that follow each other', async () => {
    await start('kprf')
    for (const body of ['', '\n', '\r\n\n']) expect(told(await send('/push', LINES, body))).to.deep.equal(OK)
    expect(
      told(await send('/push', LINES, `${line('a', '1')}${line('a', '2')}\r\n\r\n${line('a', '3')}`))
    ).to.deep.equal(OK)
    const many = Array.from({ length: 5_000 }, (_, at) => `${line('b', `d${at}`)}\n`)
    expect(told(await send('/push', LINES, many.join('')))).to.deep.equal(OK)
    expect(written().slice(0, 4)).to.deep.equal([
      ...['1', '2', '3'].map(data => ['a', null, data, undefined]),
      ['b', null, 'd0', undefined]
    ])
    expect(verbs.records).to.have.length(5_003)
  })

  it('is refused by kprf as a whole where a line is no record, has too many, or is not UTF-8', async () => {
    await start('kprf')
    const good = `${line('a', '1')}\n`
    for (const [bad, why] of [
      ['{"topic":"a"}', 'Request body deserialize error: missing field `data` at line 2 column 13'],
      ['x', 'Request body deserialize error: expected value at line 2 column 1'],
      ['{"topic":"a","data":"1"', 'Request body deserialize error: EOF while parsing an object at line 2 column 23'],
      ['1', 'Request body deserialize error: invalid type: integer `1`, expected struct Record at line 2 column 1']
    ] as const)
      expect(told(await send('/push', LINES, good + bad)), bad).to.deep.equal(['400', why])
    const [status] = told(
      await send('/push', LINES, Buffer.concat([Buffer.from(good), Buffer.from('{"data":"\xff"}', 'latin1')]))
    )
    expect(status).to.equal('400')
    expect(told(await send('/push', LINES, good.repeat(65_537)))[0]).to.equal('413')
    expect(verbs.records).to.deep.equal([])
  })

  it('is answered 400 by kprf where no other attempt helps, so that a shipper drops it, and else 500', async () => {
    await start('kprf', {
      outcome: ({ topic }) => (topic === 'good' ? delivered() : { ...failure('timedOut'), retriable: topic === 'late' })
    })
    const statusOf = async (...topics: string[]): Promise<string> =>
      told(await send('/push', LINES, topics.map(topic => line(topic, 'd')).join('\n')))[0]
    expect(await statusOf('good', 'bad')).to.equal('400')
    expect(await statusOf('bad', 'late')).to.equal('500')
    expect(await statusOf('good')).to.equal('200')
  })

  it('is no push to kprf with another type', async () => {
    await start('kprf')
    const statuses = ['application/x-ndjsonx', 'application/ndjson', 'text/x-ndjson'].map(type =>
      send('/push', type, '')
    )
    expect((await Promise.all(statuses)).map(answer => told(answer)[0])).to.deep.equal(['415', '415', '415'])
    const [status, text] = told(await send('/push', 'application/json', `${line('a', '1')}\n`))
    expect([status, text.slice(0, 31)]).to.deep.equal(['400', 'Request body deserialize error:'])
  })

  it('is a stream of records to version 3 of Confluent, and to no other route of it', async () => {
    await start('confluent', { outcome: () => delivered(1, 7) })
    const value = (data: object): string => JSON.stringify({ value: { type: 'JSON', data } })
    const body = `${value({ message: 'a' })}\n${value({ message: 'b' })}\n`
    const [status, text] = told(await send(RECORDS, LINES, body))
    expect([status, text.match(/"error_code":200/g)?.length]).to.deep.equal(['200', 2])
    expect(verbs.records.map(({ value }) => String(value))).to.deep.equal(['{"message":"a"}', '{"message":"b"}'])
    const latin1 = Buffer.from(`${value({ message: 'é' })}\n`, 'latin1')
    expect(told(await send(RECORDS, `${LINES};charset=iso-8859-1`, latin1))[0]).to.equal('200')
    expect(String(verbs.records[2]!.value)).to.equal('{"message":"é"}')
    for (const path of [`${RECORDS}:batch`, '/topics/t'])
      expect(told(await send(path, LINES, '{}'))[0], path).to.equal('415')
  })

  it('is read while it comes by version 3 of Confluent, and each line is answered', async () => {
    await start('confluent', { outcome: () => delivered(1, 7) })
    const socket = await RawSocket.open(started.http.urls.shared)
    const record = '{"value":{"type":"STRING","data":"d"}}\n'
    await socket.send(
      `POST /loud${RECORDS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${LINES}\r\ntransfer-encoding: chunked\r\n\r\n${record.length.toString(16)}\r\n${record}\r\n`
    )
    expect(await socket.until(text => text.includes('"error_code":') || text.includes('HTTP/1.1 4'))).to.include(
      '"error_code":200'
    )
    socket.destroy()
  })
})
