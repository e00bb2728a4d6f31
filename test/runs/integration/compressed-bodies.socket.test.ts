import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { constants, createBrotliCompress, createGzip, deflateSync, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { call } from '../../support/access.js'
import { ConfluentStage, JSON_RECORDS, JSON_TYPE } from '../../support/confluent-stage.js'
import { RawSocket } from '../../support/raw-socket.js'
import { RecordStreamClient } from './record-stream-client.js'

const MIB = 1024 * 1024
/** What a bomb becomes. */
const BOMB_BYTES = 256 * MIB
/** Two bodies are decoded at a time, up to 16 MiB each; buffers that have grown wait for the garbage collector. */
const MAX_GROWTH_BYTES = 320 * MIB
const value = (data: unknown) => ({ value: { type: 'JSON', data } })

/** A brotli body of about a kilobyte that becomes zeros. */
async function smallBomb(): Promise<Buffer> {
  const compress = createBrotliCompress({
    params: { [constants.BROTLI_PARAM_QUALITY]: 2, [constants.BROTLI_PARAM_LGWIN]: 24 }
  })
  const bytes = buffer(compress)
  const zeros = Buffer.alloc(MIB)
  for (let at = 0; at < BOMB_BYTES; at += MIB) if (!compress.write(zeros)) await once(compress, 'drain')
  compress.end()
  return bytes
}

/** Members of gzip that become zeros together. */
const largeBomb = (): Buffer => {
  const member = gzipSync(Buffer.alloc(16 * MIB))
  return Buffer.concat(Array.from({ length: BOMB_BYTES / (16 * MIB) }, () => member))
}

describe('compressed bodies over connections', function () {
  this.timeout(120_000)
  let stage: ConfluentStage
  let topic: string
  before(async () => {
    stage = await ConfluentStage.open({ 'http.decodedApis': 'arion,kafboy,kafka-pixy' })
  })
  after(() => stage?.close())
  beforeEach(async () => {
    topic = await stage.topic(1)
  })

  const post = (path: string, type: string, body: Buffer, headers: Record<string, string> = {}) =>
    call(`${stage.app.urls.shared}${path}`, {
      method: 'POST',
      headers: { 'content-type': type, 'content-encoding': 'gzip', ...headers },
      // The types of `call` know texts only.
      body: body as unknown as string
    })
  const recordsPath = (): string => `/v3/clusters/c1/topics/${topic}/records`
  const valuesOf = async (count: number): Promise<string[]> => {
    const found: string[] = []
    for (let at = 0; at < count; at++) found.push((await stage.record(topic, 0, at)).value!.toString())
    return found
  }

  it('bombs of 256 MiB are refused by each route to produce, and memory does not grow with them', async () => {
    const bombs = [
      ['br', await smallBomb()],
      ['gzip', largeBomb()]
    ] as const
    expect(bombs[0][1].length).to.be.below(4 * 1024)
    const ways: readonly (readonly [string, string, number])[] = [
      ['/kprf/push', JSON_TYPE, 413],
      [`/confluent/topics/${topic}`, JSON_RECORDS, 413],
      [`/confluent${recordsPath()}:batch`, JSON_TYPE, 413],
      [`/strimzi/topics/${topic}`, JSON_RECORDS, 413],
      [`/events/${topic}`, 'application/cloudevents+json', 413],
      [`/arion/sync/${topic}`, 'text/plain', 400],
      [`/pixy/topics/${topic}/messages`, 'text/plain', 413],
      [`/kafboy/sync/${topic}`, JSON_TYPE, 400]
    ]
    const before = process.memoryUsage().rss
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss - before)
    }, 5)
    try {
      const asked = ways.flatMap(([path, type, status]) =>
        bombs.map(async ([coding, bomb]) => {
          const answers = await Promise.all(
            Array.from({ length: 2 }, () => post(path, type, bomb, { 'content-encoding': coding }))
          )
          const seen = answers.map(({ status, headers }) => [status, headers['x-castellan-persisted']])
          expect(seen, `${path} ${coding}`).to.deep.equal(answers.map(() => [status, 'no']))
        })
      )
      await Promise.all(asked)
    } finally {
      clearInterval(watch)
    }
    expect(await stage.endOf(topic, 0)).to.equal(0)
    expect(most).to.be.below(MAX_GROWTH_BYTES)
  })

  it('requests of one connection keep their order, however long a body takes to be decoded', async () => {
    const large = gzipSync(JSON.stringify({ records: [{ value: 'x'.repeat(900_000) }, { value: '1' }] }))
    const small = gzipSync(JSON.stringify({ records: [{ value: '2' }] }))
    const plain = Buffer.from(JSON.stringify({ records: [{ value: '3' }] }))
    const socket = await RawSocket.open(stage.app.urls.shared)
    const requests = [large, small, plain, large, plain].map((body, at) => {
      const coding = body === plain ? '' : 'content-encoding: gzip\r\n'
      const last = at === 4 ? 'connection: close\r\n' : ''
      const head = `POST /strimzi/topics/${topic} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${JSON_RECORDS}\r\n`
      return Buffer.concat([Buffer.from(`${head}${coding}${last}content-length: ${body.length}\r\n\r\n`), body])
    })
    await socket.send(Buffer.concat(requests))
    const answers = await socket.untilClosed()
    expect(answers).to.include('200 OK')
    expect(answers.match(/"offset":\d+/g)).to.deep.equal([0, 1, 2, 3, 4, 5, 6].map(offset => `"offset":${offset}`))
    const found = (await valuesOf(7)).map(value => (value.length > 10 ? 'large' : value))
    expect(found).to.deep.equal(['large', '"1"', '"2"', '"3"', 'large', '"1"', '"3"'])
  })

  it('a body in chunks is decoded, and 100 Continue is said first, but not before a refusal', async () => {
    const body = gzipSync(JSON.stringify({ records: [{ value: 'chunked' }] }))
    const head = (coding: string): string =>
      `POST /strimzi/topics/${topic} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${JSON_RECORDS}\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-encoding: ${coding}\r\ntransfer-encoding: chunked\r\n\r\n`
    const socket = await RawSocket.open(stage.app.urls.shared)
    await socket.send(head('gzip'))
    await socket.until(received => received.includes('100 Continue'))
    for (const byte of body)
      await socket.send(Buffer.concat([Buffer.from('1\r\n'), Buffer.of(byte), Buffer.from('\r\n')]))
    await socket.send('0\r\n\r\n')
    expect(await socket.untilClosed())
      .to.include('200 OK')
      .and.to.include('"offset":0')
    const refused = await RawSocket.open(stage.app.urls.shared)
    await refused.send(head('lzma'))
    const answer = await refused.untilClosed()
    expect(answer)
      .to.match(/^HTTP\/1\.1 415 /)
      .and.to.match(/accept-encoding: gzip, deflate, br/)
    expect(await valuesOf(1)).to.deep.equal(['"chunked"'])
  })

  it('a key knows a request by its bytes as they are decoded', async () => {
    const text = JSON.stringify({ records: [{ value: '1' }] })
    const path = `/strimzi/topics/${topic}`
    const ask = (body: Buffer, coding = 'gzip') =>
      post(path, JSON_RECORDS, body, { 'idempotency-key': `key-of-${topic}`, 'content-encoding': coding })
    const answers = [await ask(gzipSync(text)), await ask(gzipSync(text)), await ask(Buffer.from(text), 'identity')]
    const seen = answers.map(({ status, headers }) => [status, headers['idempotent-replayed']])
    expect(seen).to.deep.equal([
      [200, undefined],
      [200, 'true'],
      [200, 'true']
    ])
    expect(await stage.endOf(topic, 0)).to.equal(1)
  })

  describe('that are streams of records', () => {
    const open = (coding: string, url = stage.url) =>
      new RecordStreamClient(`${url}${recordsPath()}`, { 'content-type': JSON_TYPE, 'content-encoding': coding })

    it('are decoded as they come: an answer comes before the next record is sent', async () => {
      const client = open('gzip')
      const gzip = createGzip()
      gzip.on('data', (bytes: Buffer) => client.sendBytes(bytes))
      for (let n = 0; n < 3; n++) {
        gzip.write(JSON.stringify(value(n)))
        gzip.flush()
        expect(await client.next()).to.include({ error_code: 200, offset: n })
      }
      gzip.once('end', () => client.end())
      gzip.end()
      expect(await client.rest()).to.deep.equal([])
      expect(await client.ended).to.equal('ended')
      expect(await valuesOf(3)).to.deep.equal(['0', '1', '2'])
    })

    it('answer each of many records, of which those in flight are bounded', async () => {
      const client = open('deflate, identity')
      const text = Array.from({ length: 20_000 }, (_, n) => JSON.stringify(value(n))).join('')
      client.sendBytes(deflateSync(text))
      client.end()
      const answers = await client.rest()
      expect(answers.map(({ offset }) => offset)).to.deep.equal(Array.from({ length: 20_000 }, (_, n) => n))
    })

    it('end with 400 where their bytes are broken or cut, behind the answers to the records before', async () => {
      for (const end of ['broken', 'cut']) {
        const client = open('gzip')
        const gzip = createGzip()
        gzip.on('data', (bytes: Buffer) => client.sendBytes(bytes))
        gzip.write(JSON.stringify(value(1)))
        gzip.flush()
        expect(await client.next()).to.include({ error_code: 200 })
        if (end === 'broken') client.sendBytes(Buffer.alloc(100, 0xff))
        else client.end()
        const rest = await client.rest()
        expect(
          rest.map(({ error_code }) => error_code),
          end
        ).to.deep.equal([400])
        expect(rest[0]!.message).to.match(/^the body is not what its content coding says/)
        client.destroy()
        gzip.destroy()
      }
    })

    it('may have the codings only that need little memory', async () => {
      const client = open('br')
      const { statusCode, headers } = await client.response
      expect([statusCode, headers['accept-encoding']]).to.deep.equal([415, 'gzip, deflate'])
      client.destroy()
    })

    it('are refused as overload where there is no memory for their decoders', async () => {
      const small = await ConfluentStage.open({ 'http.maxBodiesInFlightBytes': String(MIB) })
      try {
        await small.cluster.createTopic(`${topic}.b`, 1)
        const clients = Array.from({ length: 40 }, () => open('gzip', small.url))
        const found = await Promise.all(clients.map(async client => (await client.response).statusCode))
        expect(found.filter(status => status === 503).length).to.be.within(24, 39)
        expect(found.filter(status => status === 200).length).to.be.within(1, 16)
        for (const client of clients) client.destroy()
      } finally {
        await small.close()
      }
    })
  })

  it('answers are compressed: records, lists, the description, the status and the page', async () => {
    const large = Array.from({ length: 50 }, (_, n) => ({ value: `record ${n} of many` }))
    expect((await stage.produce(topic, JSON_RECORDS, large)).status).to.equal(200)
    const { shared, management } = stage.app.urls
    const asked = [
      `${shared}/openapi.json`,
      `${management}/openapi.json`,
      `${management}/status.json`,
      `${management}/metrics`,
      `${stage.url}/v3/clusters`,
      `${stage.url}/openapi.json`,
      `${shared}/pixy/topics/${topic}/offsets?group=g`
    ]
    for (const url of asked) {
      for (const coding of ['gzip', 'br']) {
        // fetch decodes by itself.
        const answer = await fetch(url, { headers: { 'accept-encoding': coding } })
        const plain = await fetch(url, { headers: { 'accept-encoding': 'identity' } })
        const text = await answer.text()
        expect(answer.status, url).to.equal(plain.status)
        const isLarge = Buffer.byteLength(await plain.text()) >= 1024
        expect(answer.headers.get('content-encoding'), url).to.equal(isLarge ? coding : null)
        expect(plain.headers.get('content-encoding'), url).to.equal(null)
        for (const { headers } of [answer, plain])
          expect(headers.get('vary'), url).to.equal(isLarge ? 'accept-encoding' : null)
        if (answer.headers.get('content-type')?.includes('json')) JSON.parse(text)
      }
    }
    const head = await fetch(`${shared}/openapi.json`, { method: 'HEAD', headers: { 'accept-encoding': 'gzip' } })
    const got = await fetch(`${shared}/openapi.json`, { headers: { 'accept-encoding': 'gzip' } })
    for (const name of ['content-encoding', 'content-length', 'vary', 'content-type'])
      expect(head.headers.get(name), name).to.equal(got.headers.get(name))
    expect(await head.text()).to.equal('')
  })
})
