import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import {
  askLoadBalancer,
  loadBalancerProblem,
  logLoadBalancer,
  type Resolve
} from '../../../src/apis/kafboy/load-balancer.js'
import { silentLogger } from '../../../src/core/model.js'

/** Writes until the client has gone. */
function writeEvery(pauseMs: number, text: string, response: ServerResponse): void {
  const writing = setInterval(() => response.write(text), pauseMs)
  response.once('close', () => clearInterval(writing))
}

/** For those that never answer. */
const SHORT_MS = 100
/** For those that answer, on any machine. */
const LONG_MS = 30_000

describe('kafboy: the load balancer', () => {
  let server: Server
  const asked: string[] = []
  let answer: RequestListener = () => {}
  before(async () => {
    server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers.host}`)
      answer(request, response)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  })
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  beforeEach(() => {
    asked.length = 0
    answer = (_, response) => response.end('node2@some-host\n')
  })

  const port = (): number => (server.address() as AddressInfo).port
  const ask = (host: string, nodes: string[] = [], resolve?: Resolve, timeoutMs = LONG_MS) =>
    askLoadBalancer({ url: `http://${host}:${port()}/disco`, hosts: ['balancer.example'], nodes }, resolve, timeoutMs)

  it('is asked once, and its answer compared with the nodes there are', async () => {
    expect(await ask('127.0.0.1', ['node2@some-host'])).to.deep.equal({
      type: 'node',
      node: 'node2@some-host',
      isExpected: true
    })
    expect(await ask('localhost', ['another'])).to.deep.include({ isExpected: false })
    expect(asked).to.deep.equal([`GET /disco 127.0.0.1:${port()}`, `GET /disco localhost:${port()}`])
  })

  it('tells another instance whose start it is asked by', async () => {
    let guard: unknown
    answer = ({ headers }, response) => {
      guard = headers['x-castellan-load-balancer']
      response.end('a')
    }
    await ask('127.0.0.1')
    expect(guard).to.be.a('string').and.not.equal('')
  })

  const refused: [what: string, host: string, addresses: string[], reason: RegExp][] = [
    ['a host that is not named', 'elsewhere.example', ['192.0.2.1'], /name its host elsewhere.example/],
    ['a named host at an address of this machine', 'balancer.example', ['127.0.0.1'], /127.0.0.1 is not allowed/],
    ['a mapped address of this machine', 'balancer.example', ['::ffff:127.0.0.1'], /is not allowed/],
    ['the same in hexadecimal digits', 'balancer.example', ['::ffff:7f00:1'], /is not allowed/],
    ['this machine by IPv6', 'balancer.example', ['::1'], /is not allowed/],
    ['the metadata address of clouds', 'balancer.example', ['169.254.169.254'], /is not allowed/],
    ['the same, mapped', 'balancer.example', ['::ffff:169.254.169.254'], /is not allowed/],
    ['the metadata address of IPv6', 'balancer.example', ['fd00:ec2::254'], /is not allowed/],
    ['a link-local address', 'balancer.example', ['fe80::1'], /is not allowed/],
    ['an address of nobody', 'balancer.example', ['0.0.0.0'], /is not allowed/],
    ['a group', 'balancer.example', ['224.0.0.1'], /is not allowed/],
    ['any address of this machine', 'balancer.example', ['127.255.0.1'], /is not allowed/],
    ['the last address of links', 'balancer.example', ['169.254.255.255'], /is not allowed/],
    ['an address of this network', 'balancer.example', ['0.255.0.1'], /is not allowed/],
    ['the address of all', 'balancer.example', ['255.255.255.255'], /is not allowed/],
    ['no address of IPv6', 'balancer.example', ['::'], /is not allowed/],
    ['the last link-local address', 'balancer.example', ['febf::1'], /is not allowed/],
    ['a group of IPv6', 'balancer.example', ['ff0e::1'], /is not allowed/],
    ['another host at an address of links', '[fe80::1]', [], /name its host/],
    ['a host without addresses', 'balancer.example', [], /has no address/]
  ]
  for (const [what, host, addresses, reason] of refused) {
    it(`H19: refuses ${what}`, async () => {
      const result = await ask(host, [], async () => addresses)
      expect(result.type === 'failed' && result.reason).to.match(reason)
      expect(asked).to.deep.equal([])
    })
  }

  // Addresses of documents and of sites: nobody has them.
  for (const address of ['192.0.2.1', '2001:db8::1', 'fec0::1']) {
    it(`does not refuse ${address}`, async () => {
      const result = await ask('balancer.example', [], async () => [address], SHORT_MS)
      expect(result.type === 'failed' && result.reason).not.to.match(/is not allowed/)
    })
  }

  it('H19: the address is looked up once: another answer later changes nothing', async () => {
    let lookUps = 0
    const rebinding: Resolve = async () => (lookUps++ === 0 ? ['192.0.2.1'] : ['127.0.0.1'])
    const result = await ask('balancer.example', [], rebinding, SHORT_MS)
    expect(result.type).to.equal('failed')
    expect([lookUps, asked]).to.deep.equal([1, []])
  })

  it('may answer with 4,096 bytes in pieces, and space around the name', async () => {
    answer = (_, response) => {
      response.write(' '.repeat(4_000))
      setImmediate(() => response.end(`some.node${' '.repeat(87)}`))
    }
    expect(await ask('127.0.0.1')).to.deep.include({ type: 'node', node: 'some.node' })
    answer = (_, response) => response.end(' '.repeat(4_097))
    expect(await ask('127.0.0.1')).to.deep.equal({ type: 'failed', reason: 'its answer is longer than 4096 bytes' })
  })

  it('may name a node of 255 characters', async () => {
    answer = (_, response) => response.end('n'.repeat(255))
    expect((await ask('127.0.0.1')).type).to.equal('node')
    answer = (_, response) => response.end('n'.repeat(256))
    expect((await ask('127.0.0.1')).type).to.equal('failed')
  })

  it('is asked at its address of IPv6, and by TLS where its URL says so', async () => {
    const six = createServer((_, response) => response.end('node6'))
    const error = await new Promise<Error | undefined>(resolve => {
      six.once('error', resolve)
      six.listen(0, '::1', () => resolve(undefined))
    })
    if (error === undefined) {
      const url = `http://[::1]:${(six.address() as AddressInfo).port}/`
      expect(await askLoadBalancer({ url, hosts: [], nodes: [] }, undefined, LONG_MS)).to.deep.include({
        node: 'node6'
      })
      six.close()
    }
    const result = await askLoadBalancer({ url: `https://127.0.0.1:${port()}/disco`, hosts: [], nodes: [] })
    expect([result.type, asked]).to.deep.equal(['failed', []])
  })

  it('is written down: what it named, whether that is expected, or why it has not answered', async () => {
    const lines: string[] = []
    const note = (level: string) => (what: object, text: string) =>
      void lines.push(`${level} ${JSON.stringify(what)} ${text}`)
    const log = { ...silentLogger, info: note('info'), warn: note('warn') }
    const of = (nodes: string[]) => ({ url: `http://127.0.0.1:${port()}/disco`, hosts: [], nodes })
    await logLoadBalancer(of(['node2@some-host']), log, LONG_MS)
    await logLoadBalancer(of([]), log, LONG_MS)
    answer = (_, response) => response.writeHead(500).end()
    await logLoadBalancer(of([]), log, LONG_MS)
    const node = '{"node":"node2@some-host"} the load balancer of kafboy has named a node'
    expect(lines).to.deep.equal([
      `info ${node}; nothing is forwarded to it`,
      `warn ${node} that is not in advanced.apis.kafboy.loadBalancerNodes`,
      'warn {"reason":"it answered with status 500"} the load balancer of kafboy did not name a node'
    ])
  })

  const answers: [what: string, listener: RequestListener, reason: RegExp, timeoutMs?: number][] = [
    [
      'a redirection',
      (_, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
      /status 302/
    ],
    ['an error', (_, response) => response.writeHead(500).end('node'), /status 500/],
    ['a huge answer', (_, response) => response.end('x'.repeat(5_000)), /longer than 4096/],
    ['an endless answer', (_, response) => writeEvery(1, 'x'.repeat(999), response), /longer|within/],
    ['silence', () => {}, /no answer within 100 ms/, SHORT_MS],
    ['a slow answer', (_, response) => writeEvery(20, 'x', response), /no answer within 100 ms/, SHORT_MS],
    ['an answer that is no name', (_, response) => response.end('<html>'), /name of a node/],
    ['an empty answer', (_, response) => response.end(), /name of a node/],
    ['a cut connection', ({ socket }) => socket.destroy(), /hang up/]
  ]
  for (const [what, listener, reason, timeoutMs] of answers) {
    it(`H19: ${what} comes to nothing`, async () => {
      answer = listener
      const result = await ask('127.0.0.1', [], undefined, timeoutMs)
      expect(result.type === 'failed' && result.reason).to.match(reason)
    })
  }

  const urls: [url: string, problem: string | undefined][] = [
    ['http://localhost:8080/disco', undefined],
    ['https://balancer.example/disco', undefined],
    ['http://[::1]:8080/disco', undefined],
    ['ftp://balancer.example/', 'write it as'],
    ['http://user:secret@balancer.example/', 'write it as'],
    ['balancer', 'write it as'],
    ['http://other.example/', 'name its host']
  ]
  for (const [url, problem] of urls) {
    it(`${url.replace('secret', '…')} is ${problem === undefined ? 'fine' : 'refused'}`, () => {
      const found = loadBalancerProblem({ url, hosts: ['balancer.example'] })
      if (problem === undefined) expect(found).to.equal(undefined)
      else expect(found).to.include(problem)
    })
  }
})
