import { createServer as createPlain, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { createTransport, type RegistryFiles, type Transport } from '../../src/schemas/transport.js'
import { TestAuthority } from '../support/certificates.js'

describe('the transport to a schema registry', () => {
  const authority = new TestAuthority()
  const server = authority.issue({ commonName: 'registry', alternativeNames: ['IP:127.0.0.1'] })
  const client = authority.issue({ commonName: 'gateway' })
  const seen: IncomingMessage['headers'][] = []
  const opened: { close(): void }[] = []

  const listener: RequestListener = (request, response) => {
    seen.push(request.headers)
    if (request.url === '/slow') return
    request.setEncoding('utf8')
    let body = ''
    request.on('data', text => (body += text)).on('end', () => response.writeHead(201).end(`${request.method} ${body}`))
  }

  async function listening(started: ReturnType<typeof createPlain> | ReturnType<typeof createTls>): Promise<number> {
    opened.push({ close: () => started.closeAllConnections() }, { close: () => started.close() })
    await new Promise<void>(resolve => started.listen(0, '127.0.0.1', resolve))
    return (started.address() as AddressInfo).port
  }

  const opening = (credentials?: string, files: RegistryFiles = {}): Transport => {
    const transport = createTransport({ urls: [], credentials }, files)
    opened.push(transport)
    return transport
  }

  async function answerOf(transport: Transport, url: string, body?: string): Promise<string> {
    const { signal } = new AbortController()
    const { status, body: chunks } = await transport.send({
      method: body === undefined ? 'GET' : 'POST',
      url,
      body,
      signal
    })
    let text = `${status} `
    for await (const chunk of chunks) text += Buffer.from(chunk).toString()
    return text
  }

  afterEach(() => {
    for (const each of opened.splice(0)) each.close()
    seen.length = 0
  })

  it('sends basic credentials, a bearer token or none, and the type of the registry', async () => {
    const url = `http://127.0.0.1:${await listening(createPlain(listener))}/`
    expect(await answerOf(opening('ann:se:cret'), url, '{}')).to.equal('201 POST {}')
    expect(await answerOf(opening('a.b-c'), url)).to.equal('201 GET ')
    await answerOf(opening(), url)
    expect(seen.map(({ authorization }) => authorization)).to.deep.equal([
      `Basic ${Buffer.from('ann:se:cret').toString('base64')}`,
      'Bearer a.b-c',
      undefined
    ])
    expect(seen[0]!['content-type']).to.equal('application/vnd.schemaregistry.v1+json')
  })

  it('trusts its own authority only, and shows its certificate', async () => {
    const options = { ...server, ca: authority.cert, requestCert: true, rejectUnauthorized: true }
    const url = `https://127.0.0.1:${await listening(createTls(options, listener))}/`
    expect(await answerOf(opening(undefined, { ca: authority.cert, ...client }), url)).to.equal('201 GET ')
    const untrusted = await answerOf(opening(undefined, client), url).catch((error: Error) => error.message)
    expect(untrusted).to.match(/certificate/)
    const unknown = await answerOf(opening(undefined, { ca: authority.cert }), url).catch(
      (error: Error) => error.message
    )
    expect(unknown).to.not.equal('201 GET ')
  })

  it('asks again when the registry closes an idle connection as it is used again', async () => {
    let calls = 0
    const answered = new Set<object>()
    const url = `http://127.0.0.1:${await listening(
      createPlain((request, response) => {
        // Each connection answers once.
        if (answered.has(request.socket)) request.socket.destroy()
        else listener(request, response)
        answered.add(request.socket)
        calls++
      })
    )}/`
    const transport = opening()
    for (let nth = 1; nth <= 3; nth++) expect(await answerOf(transport, url, `${nth}`)).to.equal(`201 POST ${nth}`)
    expect(calls, 'two were lost').to.equal(5)
  })

  it('does not ask again on a new connection that is closed', async () => {
    let calls = 0
    const closing = createPlain(request => {
      calls++
      request.socket.destroy()
    })
    const url = `http://127.0.0.1:${await listening(closing)}/`
    const error = await answerOf(opening(), url).catch((thrown: NodeJS.ErrnoException) => thrown.code)
    expect([error, calls]).to.deep.equal(['ECONNRESET', 1])
  })

  it('gives up when it is told to, and when it is closed', async () => {
    const url = `http://127.0.0.1:${await listening(createPlain(listener))}/slow`
    const limit = new AbortController()
    const given = opening()
      .send({ method: 'GET', url, signal: limit.signal })
      .catch((error: Error) => error.name)
    limit.abort()
    expect(await given).to.equal('AbortError')
    const transport = opening()
    const closed = answerOf(transport, url).catch((error: Error) => error.message)
    while (seen.length === 0) await new Promise(resolve => setImmediate(resolve))
    transport.close()
    expect(await closed).to.match(/hang up|closed|reset/)
  })
})
