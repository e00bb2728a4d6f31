import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect } from 'chai'
import type { Command } from 'commander'
import type { Process } from '../../../src/cli/command.js'
import { PixyClient } from '../../../src/cli/pixy/pixy-client.js'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { startTestApp } from '../../support/app-under-test.js'
import { type Outcome, runCommand } from '../run-command.js'

interface Answer {
  readonly status?: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

const LONG_POLL_TIMEOUT: Answer = { status: 408, body: { error: 'long polling timeout' } }
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const message = (offset: number, value: string | null, more: object = {}): Answer => ({
  body: { key: null, value: value === null ? null : base64(value), partition: 3, offset, headers: [], ...more }
})

/** Answers as the test tells it, and writes down what it was asked. */
class ScriptedPixy {
  readonly asked: string[] = []
  readonly requests: { readonly headers: IncomingMessage['headers']; readonly body: string }[] = []
  readonly answers: Answer[] = []
  readonly #server: Server

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        this.asked.push(`${request.method} ${request.url}`)
        this.requests.push({ headers: request.headers, body: Buffer.concat(chunks).toString() })
        const answer = this.answers.shift()
        // Not answered: as a long poll that somebody gives up.
        if (!answer) return
        response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers })
        response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
      })
    })
  }

  async listen(path?: string): Promise<string> {
    await new Promise<void>(resolve =>
      path === undefined ? this.#server.listen(0, '127.0.0.1', resolve) : this.#server.listen(path, resolve)
    )
    return path ?? `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

describe('castellan pixy', () => {
  let server: ScriptedPixy
  let address: string
  let folder: string
  beforeEach(async () => {
    server = new ScriptedPixy()
    address = await server.listen()
    folder = mkdtempSync(join(tmpdir(), 'castellan-pixy-'))
  })
  afterEach(() => {
    server.close()
    rmSync(folder, { recursive: true })
  })

  const pixy = (args: readonly string[], parts: Partial<Process> = {}): Promise<Outcome> =>
    runCommand(['pixy', ...args, '--addr', address], parts)

  it('without --addr asks each place where a gateway serves this API by default, and stays with the first that it finds', async () => {
    const clientOf = (...addresses: string[]): PixyClient =>
      new PixyClient({ opts: () => ({}) } as unknown as Command, addresses)
    const ask = (client: PixyClient): Promise<unknown> =>
      client.ask('orders', 'consumers').then(
        ({ body }) => body,
        (error: Error) => error.message
      )
    const nowhere = clientOf('127.0.0.1:1', 'http://127.0.0.1:2/pixy')
    expect(await ask(nowhere)).to.equal(
      'no server at 127.0.0.1:1 or http://127.0.0.1:2/pixy; --addr names another address'
    )
    server.answers.push({ body: { of: 'the second' } }, { body: { of: 'the first' } })
    const second = clientOf('127.0.0.1:1', `http://${address}/pixy`)
    expect(await ask(second)).to.deep.equal({ of: 'the second' })
    const first = clientOf(address, '127.0.0.1:1')
    expect(await ask(first)).to.deep.equal({ of: 'the first' })
    expect(server.asked).to.deep.equal(['GET /pixy/topics/orders/consumers', 'GET /topics/orders/consumers'])
    server.close()
    expect(await ask(first)).to.match(new RegExp(`^${address}: `))
    for (const client of [nowhere, first, second]) client.close()
  })

  it('produce writes one message, and where it is', async () => {
    server.answers.push({ body: { partition: 3, offset: 17 } })
    const outcome = await pixy(['produce', 'a b', 'hello', '--key', 'k&1', '--header', 'Trace=ünï'])
    expect(outcome).to.deep.equal({ code: 0, stdout: '3 17\n', stderr: '' })
    expect(server.asked).to.deep.equal(['POST /topics/a%20b/messages?key=k%261&sync'])
    expect(server.requests[0]!.body).to.equal('hello')
    expect(server.requests[0]!.headers).to.include({
      'content-type': 'text/plain',
      'content-length': '5',
      'x-kafka-trace': base64('ünï')
    })
  })

  it('produce writes each line of stdin in order, whatever the pieces in which it comes', async () => {
    for (let offset = 0; offset < 4; offset++) server.answers.push({ body: {} })
    const stdin = Readable.from([Buffer.from('on'), Buffer.from('e\r\ntwo\n\nla'), Buffer.from('st')])
    const outcome = await pixy(['produce', 'orders', '--async'], { stdin })
    expect(outcome).to.deep.equal({ code: 0, stdout: '', stderr: '' })
    expect(server.requests.map(({ body }) => body)).to.deep.equal(['one', 'two', '', 'last'])
    expect(server.asked[0]).to.equal('POST /topics/orders/messages')
  })

  it('produce stops at the first message that the server refuses, and says why', async () => {
    server.answers.push({ body: { partition: 0, offset: 0 } }, { status: 404, body: { error: 'no\u001b such topic' } })
    const outcome = await pixy(['produce', 'orders'], { stdin: Readable.from(['a\nb\nc\n']) })
    expect(outcome.code).to.equal(1)
    expect(outcome.stdout).to.equal('0 0\n')
    expect(outcome.stderr).to.equal('castellan pixy produce: no\\u001b such topic (status 404)\n')
    expect(server.asked).to.have.length(2)
  })

  it('consume acknowledges each message with the next poll, and the last one by itself', async () => {
    server.answers.push(message(7, 'one'), message(8, null), LONG_POLL_TIMEOUT, message(9, 'three'), { body: {} })
    const outcome = await pixy(['consume', 'orders', 'billing', '--follow', '--count', '3'])
    expect(outcome).to.deep.equal({ code: 0, stdout: 'one\n\nthree\n', stderr: '' })
    expect(server.asked).to.deep.equal([
      'GET /topics/orders/messages?group=billing&noAck',
      'GET /topics/orders/messages?group=billing&ackPartition=3&ackOffset=7',
      'GET /topics/orders/messages?group=billing&ackPartition=3&ackOffset=8',
      'GET /topics/orders/messages?group=billing&noAck',
      'POST /topics/orders/acks?group=billing&partition=3&offset=9'
    ])
  })

  it('consume ends when there is no message, unless it is to wait', async () => {
    server.answers.push(LONG_POLL_TIMEOUT)
    expect(await pixy(['consume', 'orders', 'billing', '--ack', 'auto'])).to.deep.equal({
      code: 0,
      stdout: '',
      stderr: ''
    })
    expect(server.asked).to.deep.equal(['GET /topics/orders/messages?group=billing'])
  })

  it('consume waits where the server has no room, and asks again', async () => {
    const busy = { status: 429, body: { error: 'Too many requests' }, headers: { 'retry-after': '0.01' } }
    server.answers.push(busy, message(7, 'one'))
    const outcome = await pixy(['consume', 'orders', 'billing', '-f', '-n', '1', '--ack', 'none', '--format', 'json'])
    expect(JSON.parse(outcome.stdout)).to.deep.equal({
      topic: 'orders',
      partition: 3,
      offset: 7,
      key: null,
      value: 'one',
      headers: []
    })
    expect(server.asked).to.have.length(2)
  })

  it('consume shows keys and headers, bytes that are no text in base64', async () => {
    const headers = [
      { key: 'Trace', value: base64('abc') },
      { key: 'Null', value: null }
    ]
    server.answers.push(message(7, 'one', { key: '/w==', headers }))
    const outcome = await pixy(['consume', 'orders', 'billing', '-n', '1', '--ack', 'none', '--format', 'json'])
    expect(JSON.parse(outcome.stdout)).to.deep.include({
      key: { base64: '/w==' },
      headers: [
        { key: 'Trace', value: 'abc' },
        { key: 'Null', value: null }
      ]
    })
  })

  it('a signal ends a poll that waits, and what was written is acknowledged', async () => {
    const stop = new AbortController()
    server.answers.push(message(7, 'one'))
    const running = pixy(['consume', 'orders', 'billing', '--follow'], { stopped: stop.signal })
    while (server.asked.length < 2) await new Promise(resolve => setTimeout(resolve, 5))
    server.answers.push({ body: {} })
    stop.abort()
    expect(await running).to.deep.equal({ code: 0, stdout: 'one\n', stderr: '' })
    expect(server.asked.at(-1)).to.equal('POST /topics/orders/acks?group=billing&partition=3&offset=7')
  })

  it('offsets writes where the group stands, after it has set what it is told to', async () => {
    const row = { partition: 0, begin: 2, end: 10, count: 8, offset: 5, lag: 5, sparse_acks: '1-3' }
    server.answers.push({ body: {} }, { body: [row] })
    const outcome = await pixy(['offsets', 'orders', 'billing', '--set', '0=5,1=-2'])
    expect(outcome.stdout).to.equal(
      'PARTITION  BEGIN  END  COUNT  OFFSET  LAG  SPARSE ACKS\n        0      2   10      8       5    5  1-3\n'
    )
    expect(server.asked[0]).to.equal('POST /topics/orders/offsets?group=billing')
    expect(JSON.parse(server.requests[0]!.body)).to.deep.equal([
      { partition: 0, offset: 5 },
      { partition: 1, offset: -2 }
    ])
  })

  it('groups writes who reads what', async () => {
    server.answers.push({ body: { billing: { 'pixy-1': [0, 1], 'pixy-2': [2] }, audit: { other: [0, 1, 2] } } })
    const outcome = await pixy(['groups', 'orders'])
    expect(outcome.stdout).to.equal(
      'GROUP    CLIENT  PARTITIONS\nbilling  pixy-1  0,1\nbilling  pixy-2  2\naudit    other   0,1,2\n'
    )
    expect(server.asked).to.deep.equal(['GET /topics/orders/consumers'])
  })

  it('asks for a cluster, under a prefix, with a token', async () => {
    writeFileSync(join(folder, 'token'), 'a-token\n')
    server.answers.push({ body: {} })
    await runCommand([
      ...['pixy', 'groups', 'orders', 'billing', '--addr', `http://${address}/pixy/`],
      ...['--cluster', 'west', '--token-file', join(folder, 'token')]
    ])
    expect(server.asked).to.deep.equal(['GET /pixy/clusters/west/topics/orders/consumers?group=billing'])
    expect(server.requests[0]!.headers.authorization).to.equal('Bearer a-token')
  })

  it('speaks over a unix socket', async () => {
    const local = new ScriptedPixy()
    const path = await local.listen(join(folder, 'pixy.sock'))
    local.answers.push({ body: { partition: 0, offset: 1 } })
    const outcome = await runCommand(['pixy', 'produce', 'orders', 'hello', '--addr', path])
    expect(outcome).to.deep.equal({ code: 0, stdout: '0 1\n', stderr: '' })
    local.close()
  })

  it('says so where nobody listens, and where another server does', async () => {
    const nobody = await runCommand(['pixy', 'groups', 'orders', '--addr', join(folder, 'no.sock')])
    expect([nobody.code, nobody.stderr]).to.deep.equal([
      1,
      `castellan pixy groups: ${join(folder, 'no.sock')}: connect ENOENT ${join(folder, 'no.sock')}\n`
    ])
    server.answers.push({ status: 404, body: '404 page not found\n' })
    const other = await pixy(['groups', 'orders'])
    expect(other.stderr).to.match(/the answer is not one of Kafka-Pixy's API \(status 404\); --addr names the server/)
  })

  it('passes on what a gateway says about a path below no prefix', async () => {
    server.answers.push({ status: 404, body: { error: 'not found', message: 'each API is served below its prefix' } })
    const { stderr } = await pixy(['groups', 'orders'])
    expect(stderr).to.equal('castellan pixy groups: not found: each API is served below its prefix (status 404)\n')
  })

  for (const [args, problem] of [
    [['produce', 'orders', 'x', '--header', 'no value'], '--header takes NAME=VALUE'],
    [['offsets', 'orders', 'billing', '--set', '0=-3'], '--set takes PARTITION=OFFSET'],
    [['consume', 'orders'], 'GROUP'],
    [['groups', 'orders', '--token-file', '/no/such/file'], '--token-file']
  ] as const) {
    it(`refuses ${args.join(' ')}`, async () => {
      const outcome = await pixy(args)
      expect([outcome.code, server.asked.length]).to.deep.equal([2, 0])
      expect(outcome.stderr).to.include(problem)
    })
  }
})

describe('castellan pixy, with the gateway', () => {
  let cluster: EmbeddedCluster
  let app: App
  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 2 })
    app = await startTestApp(cluster.bootstrap, { 'consumer.start': 'earliest', 'consumer.longPollMs': '1500' })
  })
  after(async () => {
    await app.stop()
    await cluster.close()
  })

  const pixy = (...args: string[]): Promise<Outcome> =>
    runCommand(['pixy', ...args, '--addr', `${app.urls.shared}/pixy`])

  it('gives back what it was given, once, with keys and headers', async () => {
    expect((await pixy('produce', 'orders', 'one', '--key', 'k1', '--header', 'Trace=abc')).stdout).to.match(
      /^[01] 0\n$/
    )
    await pixy('produce', 'orders', 'two', '--key', 'k1', '--async')
    const consumed = await pixy('consume', 'orders', 'billing', '-n', '2', '--format', 'json')
    const [one, two] = consumed.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
    expect(one)
      .to.include({ key: 'k1', value: 'one', offset: 0 })
      .and.deep.include({
        headers: [{ key: 'Trace', value: 'abc' }]
      })
    expect(two).to.include({ key: 'k1', value: 'two', offset: 1 })
    expect(await pixy('consume', 'orders', 'billing')).to.deep.equal({ code: 0, stdout: '', stderr: '' })
  })
})
