import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { expect } from 'chai'
import { HttpClient } from './http-client.js'

describe('the HTTP client of runs', () => {
  let server: Server
  let client: HttpClient
  let answer: (request: IncomingMessage, response: ServerResponse) => void
  /** Where the client's requests came from: address and port. */
  let from: string[]

  beforeEach(async () => {
    from = []
    server = createServer((request, response) => {
      from.push(`${request.socket.remoteAddress} ${request.socket.remotePort}`)
      answer(request, response)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    client = clientOf({ localAddress: '127.0.0.7' })
  })
  afterEach(() => {
    client.close()
    server.closeAllConnections()
    server.close()
  })
  const urlOf = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const clientOf = (options: ConstructorParameters<typeof HttpClient>[1]): HttpClient =>
    new HttpClient(urlOf(), options)

  it('gets answers over one connection from its own address', async () => {
    answer = (request, response) =>
      request.resume().on('end', () => response.writeHead(201, { name: 'value' }).end('é'))
    for (let times = 0; times < 2; times++) {
      const { status, headers, body } = (await client.ask('POST', '/path', { body: 'é', headers: { more: 'x' } }))!
      expect([status, headers['name'], body]).to.deep.equal([201, 'value', 'é'])
    }
    expect(new Set(from).size).to.equal(1)
    expect(from[0]).to.match(/^127\.0\.0\.7 /)
  })

  it('says why there is no answer', async () => {
    answer = (_, response) => response.socket!.destroy()
    expect(await client.try('GET', '/')).to.equal('lost')
    answer = (_, response) =>
      void response.writeHead(200, { 'content-length': 9 }).write('half', () => response.destroy())
    expect(await client.try('GET', '/')).to.equal('lost')
    expect(await client.ask('GET', '/')).to.equal(undefined)
    answer = () => undefined
    const impatient = clientOf({ timeoutMs: 50 })
    expect(await impatient.try('GET', '/')).to.equal('late')
    impatient.close()
    const url = urlOf()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    const whole = new HttpClient('')
    expect(await whole.try('GET', `${url}/path`)).to.equal('unsent')
    whole.close()
  })

  it('resets its connection when it vanishes, and shows it before', async () => {
    const told = new Promise<string | undefined>(resolve => {
      answer = request => request.socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    })
    const shown: Socket[] = []
    expect(await client.try('GET', '/', { vanishesAfterMs: 50, onSocket: socket => void shown.push(socket) })).to.equal(
      'lost'
    )
    expect(await told).to.equal('ECONNRESET')
    expect(shown).to.have.length(1)
  })
})
