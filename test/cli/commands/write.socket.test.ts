import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { type EmbeddedCluster, startEmbeddedCluster } from '../../../src/testing.js'
import { PROJECT } from '../../support/built.js'
import { TestAuthority } from '../../support/certificates.js'
import { startTestApp } from '../../support/test-app.js'
import { COMMAND } from '../child.js'
import { type Outcome, runCommand } from '../run-command.js'

/** Chunks of stdin. */
async function* chunksOf(...chunks: readonly (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}

/** Comes to no end, like a pipe of a program that still runs. */
async function* endless(...chunks: readonly (string | Buffer)[]): AsyncGenerator<Buffer> {
  yield* chunksOf(...chunks)
  await new Promise(() => undefined)
}

describe('castellan write', () => {
  let cluster: EmbeddedCluster
  before(async () => {
    cluster = await startEmbeddedCluster({ defaultPartitions: 1 })
  })
  after(() => cluster.close())
  afterEach(() => cluster.faults.clear())

  const write = (
    args: readonly string[],
    stdin: AsyncIterable<Buffer>,
    stopped = new AbortController().signal
  ): Promise<Outcome> => runCommand(['write', ...args], { stdin, stopped })
  const atBroker = (topic: string, ...args: readonly string[]): readonly string[] => [
    topic,
    '--brokers',
    cluster.bootstrap,
    ...args
  ]
  const pairsIn = (topic: string): (string | null)[][] =>
    cluster.records(topic, 0).map(({ key, value }) => [key, value].map(part => part?.toString('latin1') ?? null))
  const line = (text: string): Outcome => ({ code: 0, stdout: '', stderr: `castellan write: ${text}\n` })

  it('writes lines as values, in order and with all bytes, and counts them', async () => {
    const written = await write(
      atBroker('values'),
      chunksOf('o', 'ne\n\n', Buffer.from('\xff\0\r\nla', 'latin1'), 'st')
    )
    expect(written).to.deep.equal(line('4 written, 0 refused'))
    expect(pairsIn('values').map(([, value]) => value)).to.deep.equal(['one', '', '\xff\0\r', 'last'])
    expect((await write(atBroker('values', '--quiet'), chunksOf())).stderr).to.equal('')
  })

  it('writes keys, nulls, and records in JSON', async () => {
    await write(atBroker('pairs', '--key-separator', '=', '--null'), chunksOf('k=a=b\nk=\n=c'))
    const json = { key: 'k', value: { base64: '/w==' }, headers: [{ key: 'h', value: null }], timestampMs: 12_345_678 }
    await write(atBroker('pairs', '--json'), chunksOf(`${JSON.stringify(json)}\n`))
    expect(pairsIn('pairs')).to.deep.equal([
      ['k', 'a=b'],
      ['k', null],
      [null, 'c'],
      ['k', '\xff']
    ])
    expect(cluster.records('pairs', 0)[3]).to.deep.include({
      headers: [{ key: 'h', value: null }],
      timestampMs: 12_345_678
    })
  })

  it('stops at a line that is no record, writes those before it, and says so', async () => {
    const { code, stderr } = await write(atBroker('cut', '--key-separator', ':'), chunksOf('a:1\nb:2\nc3\nd:4\n'))
    expect(code).to.equal(1)
    expect(stderr.split('\n')).to.deep.equal([
      'castellan write: line 3: there is no ":" between a key and a value',
      'castellan write: 2 written, 0 refused, 0 unknown; nothing after line 2 was sent',
      ''
    ])
    expect(pairsIn('cut')).to.deep.equal([
      ['a', '1'],
      ['b', '2']
    ])
  })

  it('stops at a record that is refused, also while stdin is idle', async () => {
    cluster.createTopic('small', { partitions: 1, config: { 'max.message.bytes': '1000' } })
    const { code, stderr } = await write(atBroker('small'), endless('a\n', `${'b'.repeat(2_000)}\n`))
    expect(code).to.equal(1)
    expect(stderr).to.match(
      /^castellan write: line 2: .* \(in Kafka: no\)\ncastellan write: 1 written, 1 refused, 0 unknown; nothing after line 2 was sent\n$/
    )
    expect(pairsIn('small')).to.deep.equal([[null, 'a']])
  })

  it('says after a signal what was written', async () => {
    const controller = new AbortController()
    const fault = cluster.faults.add({ api: 'Produce', topic: 'stopped' }, { type: 'delay', delayMs: 50 })
    const written = write(atBroker('stopped'), endless('a\nb\n'), controller.signal)
    await fault.whenFired()
    controller.abort()
    const { code, stderr } = await written
    expect([code, stderr]).to.deep.equal([
      1,
      'castellan write: 2 written, 0 refused, 0 unknown; nothing after line 2 was sent\n'
    ])
    expect(pairsIn('stopped')).to.have.length(2)
  })

  it('tells that the outcome of a record is unknown', async () => {
    cluster.faults.add({ api: 'Produce', topic: 'lost', count: Number.POSITIVE_INFINITY }, { type: 'dropResponse' })
    const { code, stderr } = await write(atBroker('lost', '--timeout', '1'), chunksOf('a\n'))
    expect(code).to.equal(1)
    expect(stderr).to.match(
      /line 1: .* \(in Kafka: unknown\)\n.*: 0 written, 0 refused, 1 unknown; nothing after line 1/
    )
  })

  it('says what is not written in its own words alone, and not in lines of a log as well', async () => {
    cluster.faults.add({ api: 'Produce', topic: 'told', count: Number.POSITIVE_INFINITY }, { type: 'dropResponse' })
    const args = [...COMMAND, 'write', ...atBroker('told', '--timeout', '1')]
    const child = spawn(process.execPath, args, { cwd: PROJECT, stdio: ['pipe', 'ignore', 'pipe'] })
    child.stdin.end('a\n')
    const lines = (await text(child.stderr)).trimEnd().split('\n')
    expect(lines).to.have.length(2)
    for (const one of lines) expect(one).to.match(/^castellan write: /)
  }).timeout(60_000)

  it('takes no more from stdin than waits for the broker, and creates a topic with many records', async () => {
    let taken = 0
    const value = `${'v'.repeat(99)}\n`
    async function* large(): AsyncGenerator<Buffer> {
      for (; taken < 1_000; taken++) yield Buffer.from(value.repeat(640))
    }
    const fault = cluster.faults.add({ api: 'Produce', topic: 'large', skip: 2 }, { type: 'delay', delayMs: 300 })
    const written = write(atBroker('large'), large())
    await fault.whenFired()
    await new Promise(resolve => setTimeout(resolve, 200))
    expect(taken).to.be.within(1, 100)
    expect(await written).to.deep.equal(line('640000 written, 0 refused'))
    expect(cluster.highWatermark('large', 0)).to.equal(640_000)
  }).timeout(60_000)

  it('says that no broker answers, and that stdin cannot be read', async () => {
    const nowhere = await write(['a', '--brokers', '127.0.0.1:1'], chunksOf('a'))
    expect([nowhere.code, nowhere.stderr]).to.deep.equal([
      1,
      'castellan write: no connection to 127.0.0.1:1: connection refused; is a broker running there? (ECONNREFUSED) (--brokers HOST:PORT names another one; castellan broker starts one)\n'
    ])
    async function* directory(): AsyncGenerator<Buffer> {
      yield Buffer.from('a\nb')
      throw new Error('EISDIR: illegal operation on a directory, read')
    }
    const { code, stderr } = await write(atBroker('directory'), directory())
    expect([code, stderr.split('\n').slice(0, 2)]).to.deep.equal([
      1,
      [
        'castellan write: cannot read on from stdin: EISDIR: illegal operation on a directory, read',
        'castellan write: 1 written, 0 refused, 0 unknown; nothing after line 1 was sent'
      ]
    ])
  })

  it('refuses flags that go without each other, with exit code 2', async () => {
    const wrong: readonly (readonly [readonly string[], string])[] = [
      [['a', '--json', '--key-separator', ':'], '--json goes without --key-separator'],
      [['a', '--json', '--null'], "option '--json' cannot be used with option '--null'"],
      [['a', '--gateway', 'gw:8080'], '--gateway takes a URL such as http://127.0.0.1:8080, not "gw:8080"'],
      [['a', '--gateway', 'http://gw', '--brokers', 'a:1'], '--gateway goes without --brokers and --cluster'],
      [['a', '--token-file', 'token'], '--token-file is for --gateway']
    ]
    for (const [args, problem] of wrong) {
      const { code, stderr } = await write(args, chunksOf())
      expect([code, stderr.split('\n')[0]]).to.deep.equal([2, `castellan write: ${problem}`])
    }
  })

  describe('--gateway', () => {
    let app: App
    before(async () => {
      app = await startTestApp(cluster.bootstrap)
    })
    after(() => app.stop())
    const closes: (() => void)[] = []
    afterEach(() => closes.splice(0).forEach(close => close()))
    const atGateway = (topic: string, ...args: readonly string[]): readonly string[] => [
      topic,
      '--gateway',
      `${app.urls.shared}/`,
      ...args
    ]

    it('writes the same records as brokers', async () => {
      const lines = [
        { key: 'k', value: 'a', headers: [{ key: 'h', value: { base64: '/w==' } }] },
        { key: '', value: '', timestampMs: 1_700_000_000_123 },
        { value: null, headers: [{ key: 'h', value: null }], partition: 0 }
      ]
      const stdin = lines.map(one => `${JSON.stringify(one)}\n`).join('')
      const wholes = await Promise.all([
        write(atGateway('served', '--json'), chunksOf(stdin)),
        write(atBroker('direct', '--json'), chunksOf(stdin))
      ])
      expect(wholes).to.deep.equal([line('3 written, 0 refused'), line('3 written, 0 refused')])
      const withoutTime = (topic: string) =>
        cluster
          .records(topic, 0)
          .map(({ timestampMs, ...record }, at) => ({ ...record, ...(at === 1 && { timestampMs }) }))
      expect(withoutTime('served')).to.deep.equal(withoutTime('direct'))
    })

    it('writes many records in order, and large ones', async () => {
      const numbers = Array.from({ length: 20_000 }, (_, at) => String(at))
      const large = 'x'.repeat(900_000)
      const written = await write(atGateway('many'), chunksOf(`${numbers.join('\n')}\n`, `${large}\n`))
      expect(written).to.deep.equal(line('20001 written, 0 refused'))
      expect(pairsIn('many').map(([, value]) => value)).to.deep.equal([...numbers, large])
    })

    it('tells which line the gateway refuses, and why', async () => {
      const { code, stderr } = await write(atGateway('many'), chunksOf('a\n', `${'x'.repeat(1_200_000)}\n`))
      expect(code).to.equal(1)
      expect(stderr).to.match(
        /: line 2: .*413.* \(in Kafka: no\)\n.*: 1 written, 1 refused, 0 unknown; nothing after line 2/
      )
    })

    it('sends a request again with its key until it is answered', async () => {
      const keys: unknown[] = []
      const refusing = createServer((request: IncomingMessage, response: ServerResponse) => {
        keys.push(request.headers['idempotency-key'])
        request.resume().on('end', () => {
          if (keys.length === 1) response.destroy()
          else if (keys.length === 2)
            response.writeHead(503, { 'x-castellan-persisted': 'no' }).end('{"message":"full"}')
          else response.end('{"error_code":200}\n')
        })
      })
      await new Promise<void>(resolve => refusing.listen(0, '127.0.0.1', resolve))
      closes.push(() => refusing.close().closeAllConnections())
      const { port } = refusing.address() as AddressInfo
      const gateway = ['a', '--gateway', `http://127.0.0.1:${port}`]
      const origin = `http://127.0.0.1:${port}`
      const again =
        /^castellan write: (.*); the request is sent again each second, until \d\d:\d\d:\d\d \(--timeout\)\n/
      const resent = await write(gateway, chunksOf('a\n'))
      const [told, failure] = again.exec(resent.stderr) ?? []
      expect(failure).to.equal(`${origin} does not answer: other side closed`)
      expect({ ...resent, stderr: resent.stderr.slice(told!.length) }).to.deep.equal(line('1 written, 0 refused'))
      expect(keys).to.have.length(3)
      expect(new Set(keys).size).to.equal(1)
      keys.length = 0
      const { stderr } = await write([...gateway, '--timeout', '2'], chunksOf('a\n'))
      // Its first attempt had no answer, so a refusal of the second one would not mean that nothing was written.
      expect(stderr).to.match(/: line 1: .*503.* \(in Kafka: unknown\)\n.*0 written, 0 refused, 1 unknown/)
    })

    it('says at the first attempt that the gateway does not answer, and why', async () => {
      const free = createServer()
      await new Promise<void>(resolve => free.listen(0, '127.0.0.1', resolve))
      const { port } = free.address() as AddressInfo
      await new Promise(resolve => free.close(resolve))
      const stderr = new PassThrough()
      const first = once(stderr, 'data')
      let hasEnded = false
      const written = runCommand(['write', 'a', '--gateway', `http://127.0.0.1:${port}`, '--timeout', '2'], {
        stdin: chunksOf('a\n'),
        stderr: stderr as unknown as NodeJS.WriteStream
      }).finally(() => {
        hasEnded = true
      })
      const why = `http://127.0.0.1:${port} does not answer: connect ECONNREFUSED 127.0.0.1:${port}`
      expect(String(await first)).to.match(
        new RegExp(`^castellan write: ${why}; the request is sent again each second`)
      )
      expect(hasEnded).to.equal(false)
      expect((await written).code).to.equal(1)
    })

    it('sends nothing again to a port of no gateway, and says what to change', async () => {
      const reserved = await write(['a', '--gateway', 'http://127.0.0.1:6000'], chunksOf('a\n'))
      expect(reserved.stderr).to.match(/^castellan write: line 1: .*which is reserved; .* \(in Kafka: no\)\n/)
      const url = app.urls.shared!.replace('http:', 'https:')
      const notTls = await write(['a', '--gateway', url], chunksOf('a\n'))
      expect(notTls.stderr).to.match(
        /^castellan write: line 1: .*it does not speak TLS on this port; is it http:\/\/\? \(in Kafka: no\)\n/
      )
    })

    it('sends nothing to a gateway whose certificate is not trusted, and says what to change', async () => {
      const stranger = createTlsServer(
        new TestAuthority().issue({ commonName: 'localhost', alternativeNames: ['DNS:localhost'] })
      )
      await new Promise<void>(resolve => stranger.listen(0, 'localhost', resolve))
      const { port } = stranger.address() as AddressInfo
      const { stderr } = await write(['a', '--gateway', `https://localhost:${port}`], chunksOf('a\n'))
      stranger.close()
      expect(stderr).to.match(/^castellan write: line 1: .*NODE_EXTRA_CA_CERTS=FILE names one \(in Kafka: no\)\n/)
    })
  })
})
