import { createHash } from 'node:crypto'
import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { z } from 'zod'
import { UnauthenticatedError } from '../../../src/core/errors.js'
import { notReady } from '../../../src/core/notice.js'
import { TrustedProxies } from '../../../src/http/exchange/trusted-proxies.js'
import { type DescribedApi, json } from '../../../src/http/openapi/operation.js'
import {
  addDescriptions,
  addFrontPage,
  addManagementDescription,
  addPartDescription
} from '../../../src/http/server/front-page.js'
import type { Welcome } from '../../../src/http/server/welcome-page.js'

describe('descriptions of ports', () => {
  const api: DescribedApi = {
    name: 'loud',
    prefix: '/loud',
    operations: [
      {
        method: 'get',
        path: '/says',
        id: 'says',
        verb: 'none',
        summary: 'Says Ä',
        answers: { 200: { description: 'It', content: json(z.object({})) } }
      }
    ]
  }
  const ports: Readonly<Record<string, (app: FastifyInstance) => void>> = {
    '/openapi.json': app => addDescriptions(app, '1', [api]),
    '/loud/openapi.json': app => addDescriptions(app, '1', [api]),
    '/part/openapi.json': app => addPartDescription(app, '1', { ...api, prefix: '/part' }),
    '/openapi.json of management': app => addManagementDescription(app, '1')
  }

  for (const [what, add] of Object.entries(ports)) {
    it(`are the same bytes for every answer, at ${what}`, async () => {
      const app = fastify()
      const sent: unknown[] = []
      app.addHook('onSend', async (_, __, payload) => {
        sent.push(payload)
      })
      add(app)
      const [url] = what.split(' ')
      const answers = [await app.inject(url!), await app.inject(url!)]
      for (const { headers, body } of answers) {
        expect(headers['content-type']).to.equal('application/json; charset=utf-8')
        expect(headers['content-length']).to.equal(String(Buffer.byteLength(body)))
        expect(JSON.parse(body)).to.have.property('openapi', '3.0.3')
      }
      expect(sent[0]).to.be.instanceOf(Buffer)
      expect(sent[1]).to.equal(sent[0])
      await app.close()
    })
  }
})

describe('the front page', () => {
  const page = {
    about: 'says <everything>',
    tryIt: (url: string) => [`curl ${url}/says -d 'a&b'`],
    readIt: (url: string) => [`curl ${url}/heard`]
  }
  const quiet = { about: 'is quiet', tryIt: (url: string) => [`curl ${url}/hush`] }
  const apis = [
    { name: 'loud', prefix: '/loud', page },
    { name: 'quiet', prefix: '/quiet', page: quiet }
  ]
  const facts: Welcome = {
    asksForLogin: false,
    apis,
    status: { version: '1.2.3', brokerMode: 'kafka', kafkaReasons: () => [] }
  }
  const get = async (headers: Readonly<Record<string, string>>, given: Partial<Welcome> = {}, access?: never) => {
    const app = fastify()
    addFrontPage(app, { ...facts, ...given }, access)
    const answer = await app.inject({ url: '/', headers })
    await app.close()
    return answer
  }
  const browser = { host: 'gateway.example:8080', accept: 'text/html,application/xhtml+xml' }
  const textOf = (html: string): string =>
    html
      .replaceAll(/<style>.*?<\/style>|<[^>]*>/gs, ' ')
      .replaceAll(/&#(\d+);/g, (_, code) => String.fromCharCode(code))
      .replaceAll(/\s+/g, ' ')

  it('is a text that a shell understands, with the address that the client has called', async () => {
    const { headers, body } = await get({ host: 'gateway.example:8080', accept: '*/*' })
    expect(headers).to.include({ 'content-type': 'text/plain; charset=utf-8', vary: 'accept' })
    expect(body.split('\n')).to.deep.equal([
      '# castellan 1.2.3: write to Kafka and read from it',
      '',
      '# loud: says <everything>',
      "curl http://gateway.example:8080/loud/says -d 'a&b'",
      'curl http://gateway.example:8080/loud/heard',
      '',
      '# quiet: is quiet',
      'curl http://gateway.example:8080/quiet/hush',
      '',
      '# all operations, as OpenAPI',
      'curl http://gateway.example:8080/openapi.json',
      ''
    ])
  })

  it('shows a person one command first, then every API with its path, then documents', async () => {
    const { headers, body } = await get(browser)
    expect(headers).to.include({ 'content-type': 'text/html; charset=utf-8', vary: 'accept' })
    expect([...body.matchAll(/<h2>(.*?)<\/h2>/g)].map(([, title]) => title)).to.deep.equal([
      'Write a first record',
      'For clients you already have',
      'More'
    ])
    const [first] = body.match(/<pre>.*?<\/pre>/s)!
    expect(first).to.equal('<pre><code>curl http://gateway.example:8080/loud/says -d &#39;a&#38;b&#39;</code></pre>')
    expect(textOf(body))
      .to.include('loud http://gateway.example:8080/loud')
      .and.include('says <everything>')
      .and.include('quiet http://gateway.example:8080/quiet')
      .and.include('The topic orders has to exist in Kafka.')
      .and.not.include('TOKEN')
    expect(body).to.include('/docs/compatibility/loud.md"').and.include('/docs/README.md"')
  })

  it('has no script, may use its own style only, and is in no cache and in no frame', async () => {
    const { headers, body } = await get(browser)
    const [, style] = /<style>(.*?)<\/style>/s.exec(body)!
    const hash = createHash('sha256').update(style!).digest('base64')
    expect(headers['content-security-policy'])
      .to.include("default-src 'none'; script-src 'none'")
      .and.include(`style-src 'sha256-${hash}';`)
      .and.include("frame-ancestors 'none'")
    expect(headers).to.include({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    expect(body).not.to.match(/<script|\sstyle=|\son\w+=/)
  })

  it('puts a token into its commands where the gateway asks for credentials', async () => {
    const access = { callerOf: () => ({ refusalOfUnruled: () => undefined }) } as never
    const { body } = await get(browser, {}, access)
    expect(textOf(body))
      .to.include("curl -H 'authorization: Bearer TOKEN' http://gateway.example:8080/loud/says")
      .and.include('-u USER:PASSWORD')
  })

  it('tells a browser that is refused how to go on, and answers programs in JSON', async () => {
    const refusal = new UnauthenticatedError('no credentials <here>', 'Basic realm="castellan", Bearer')
    const access = { callerOf: () => ({ refusalOfUnruled: () => refusal }) } as never
    const shown = await get(browser, {}, access)
    expect(shown.statusCode).to.equal(401)
    expect(shown.headers).to.include({
      'content-type': 'text/html; charset=utf-8',
      'www-authenticate': 'Basic realm="castellan", Bearer',
      'cache-control': 'no-store',
      vary: 'accept'
    })
    expect(textOf(shown.body))
      .to.include('This gateway asks for credentials')
      .and.include('no credentials <here>.')
      .and.include("curl -H 'authorization: Bearer TOKEN' http://gateway.example:8080")
      .and.not.include('1.2.3')
      .and.not.include('loud')
    for (const accept of ['*/*', 'application/json']) {
      const { headers, body, statusCode } = await get({ host: 'a', accept }, {}, access)
      expect(statusCode).to.equal(401)
      expect(headers).to.include({ 'www-authenticate': 'Basic realm="castellan", Bearer' })
      expect(headers).not.to.have.any.keys('vary', 'content-security-policy')
      expect(JSON.parse(body)).to.deep.equal({ error: 'unauthenticated', message: 'no credentials <here>' })
    }
  })

  it('says that Kafka is away, and why', async () => {
    const kafkaReasons = () => [notReady('no broker of cluster default answers: connection refused')]
    const { body } = await get(browser, { status: { ...facts.status, kafkaReasons } })
    expect(body).to.match(/<h2>Kafka is away<\/h2>.*<h2>Write a first record<\/h2>/s)
    expect(textOf(body)).to.include('no broker of cluster default answers: connection refused.')
    expect((await get(browser)).body).not.to.include('Kafka is away')
  })

  it('links to the management page where the browser reaches it by the name of the gateway', async () => {
    const linkOf = async (host: string, management?: string) =>
      /<a href="(http:[^"]*)">The management page/.exec((await get({ ...browser, host }, { management })).body)?.[1]
    expect(await linkOf('localhost:8080', 'http://127.0.0.1:8081')).to.equal('http://127.0.0.1:8081/')
    expect(await linkOf('gateway.example', 'http://0.0.0.0:8081')).to.equal('http://gateway.example:8081/')
    expect(await linkOf('[::1]:8080', 'http://[::]:8081')).to.equal('http://[::1]:8081/')
    expect(await linkOf('10.0.0.7:8080', 'http://10.0.0.7:8081')).to.equal('http://10.0.0.7:8081/')
    for (const management of [undefined, 'http://127.0.0.1:8081', 'http://10.0.0.8:8081']) {
      expect(await linkOf('gateway.example:8080', management)).to.equal(undefined)
      const { body } = await get(browser, { management })
      expect(textOf(body)).to.include('management.host').and.not.include('10.0.0.8')
    }
  })

  it('has the address that a trusted proxy says, and no other', async () => {
    const told = { host: '10.0.0.7:8080', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'gateway.example' }
    const addressAt = async (headers: Readonly<Record<string, string>>, ...trusted: string[]): Promise<string> => {
      const app = fastify()
      addFrontPage(app, facts, undefined, new TrustedProxies(trusted))
      const { body } = await app.inject({ url: '/', headers })
      await app.close()
      return /curl (.*)\/loud\/heard/.exec(body)![1]!
    }
    expect(await addressAt(told, '127.0.0.1')).to.equal('https://gateway.example')
    expect(await addressAt(told, '10.0.0.0/8')).to.equal('http://10.0.0.7:8080')
    expect(await addressAt(told)).to.equal('http://10.0.0.7:8080')
    const { 'x-forwarded-host': _, ...schemeAlone } = told
    expect(await addressAt(schemeAlone, '127.0.0.1')).to.equal('https://10.0.0.7:8080')
    const odd = { ...told, 'x-forwarded-proto': 'a;reboot', 'x-forwarded-host': '$(reboot)' }
    expect(await addressAt(odd, '127.0.0.1')).to.equal('http://127.0.0.1:8080')
  })

  it('sends who asks for a path of the management port there', async () => {
    const app = fastify()
    addFrontPage(app, facts)
    const messageAt = async (url: string): Promise<string> => (await app.inject({ url })).json().message
    expect(await messageAt('/metrics?x=1')).to.match(/^this path is on the management port \(management\.port/)
    expect(await messageAt('/metrix')).to.equal('no such route; each API is served below its prefix: /loud, /quiet')
    await app.close()
  })

  it('repeats no host that would mean something else to a shell or a page', async () => {
    const hosts = ['a;reboot', '$(reboot)', "a'b", 'a b', 'a\nb', '`id`', '<b>', '"onload=', 'a:99999999', '1.2.3.4.5']
    for (const host of hosts) {
      for (const accept of ['*/*', 'text/html']) {
        const { statusCode, body } = await get({ host, accept }, { management: 'http://0.0.0.0:8081' })
        expect([statusCode, host]).to.deep.equal([200, host])
        if (!/^[\w.:]+$/.test(host)) expect(body, host).to.include('curl http://127.0.0.1:8080/loud/heard')
      }
    }
  })
})
