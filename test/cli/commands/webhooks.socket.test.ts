import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { runCommand } from '../run-command.js'

describe('castellan webhooks', () => {
  let server: Server
  let gateway: string
  /** What was asked: method, path and body. */
  const asked: string[] = []
  let answer: { readonly status: number; readonly body: object }
  before(async () => {
    server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', part => parts.push(part))
      request.on('end', () => {
        asked.push(`${request.method} ${request.url} ${Buffer.concat(parts)}`.trim())
        response.writeHead(answer.status).end(JSON.stringify(answer.body))
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    gateway = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(() => {
    server.close()
    server.closeAllConnections()
  })
  beforeEach(() => asked.splice(0))

  const run = (...args: readonly string[]) => runCommand(['webhooks', ...args, '--gateway', gateway])

  it('lists webhooks by gateway, and names those that have not answered', async () => {
    const one = { gateway: 'a1', state: 'running', open: 3, inFlight: 1, deadLetters: 0, lost: 0 }
    const orders = { name: 'orders', topic: 'orders', url: 'https://api.example.com', gateways: [one] }
    answer = { status: 200, body: { webhooks: [orders], silent: ['b2'] } }
    const { code, stdout, stderr } = await run()
    expect([code, stderr]).to.deep.equal([0, 'castellan webhooks: no answer of b2\n'])
    expect(stdout.split('\n')[1]).to.match(/^orders +orders +https:\/\/api\.example\.com +a1 +running +3 +1 +0 +0$/)
    expect(asked).to.deep.equal(['GET /webhooks'])
  })

  it('asks for what each of its commands names', async () => {
    answer = { status: 200, body: { done: true } }
    await run('describe', 'orders')
    await run('skip', 'orders', '0', '17')
    await run('resume', 'orders')
    expect(asked).to.deep.equal([
      'GET /webhooks/orders',
      'POST /webhooks/orders/skip {"partition":0,"offset":17}',
      'POST /webhooks/orders/resume'
    ])
  })

  it('ends with 0 for a test that got a 2xx, and with 1 otherwise', async () => {
    answer = { status: 200, body: { id: 'test-1', status: 204, ms: 3 } }
    expect((await run('test', 'orders')).code).to.equal(0)
    answer = { status: 200, body: { id: 'test-1', status: 500, ms: 3 } }
    expect((await run('test', 'orders')).code).to.equal(1)
    answer = { status: 200, body: { id: 'test-1', cause: 'refused', message: 'no connection', ms: 3 } }
    expect((await run('test', 'orders')).code).to.equal(1)
  })

  it('says why it is refused', async () => {
    answer = { status: 409, body: { detail: 'no gateway has this record at hand' } }
    const { code, stderr } = await run('skip', 'orders', '0', '17')
    expect(code).to.equal(1)
    expect(stderr).to.contain('409: no gateway has this record at hand')
    expect((await run('skip', 'orders', 'x', '17')).code).to.equal(2)
  })
})
