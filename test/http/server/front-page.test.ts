import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type DescribedApi, json } from '../../../src/http/openapi/operation.js'
import {
  addDescriptions,
  addFrontPage,
  addManagementDescription,
  addPartDescription
} from '../../../src/http/server/front-page.js'

describe('descriptions of ports', () => {
  const api: DescribedApi = {
    name: 'loud',
    prefix: '/loud',
    operations: [
      {
        method: 'get',
        path: '/says',
        id: 'says',
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
  const get = async (headers: Readonly<Record<string, string>>) => {
    const app = fastify()
    addFrontPage(app, '1.2.3', [{ name: 'loud', prefix: '/loud', page }])
    const answer = await app.inject({ url: '/', headers })
    await app.close()
    return answer
  }

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
      '# all operations, as OpenAPI',
      'curl http://gateway.example:8080/openapi.json',
      ''
    ])
  })

  it('is a page for browsers, with every character as it is and nothing that runs', async () => {
    const { headers, body } = await get({ host: '[::1]:8080', accept: 'text/html,application/xhtml+xml' })
    expect(headers).to.include({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'"
    })
    expect(body).to.include('<h2>loud: says &#60;everything&#62;</h2>')
    expect(body).to.include('<p><code>curl http://[::1]:8080/loud/says -d &#39;a&#38;b&#39;</code></p>')
  })

  it('repeats no host that would mean something else to a shell', async () => {
    for (const host of ['a;reboot', '$(reboot)', "a'b", 'a b', 'a\nb', '`id`', '<b>'])
      expect((await get({ host })).body, host).to.include('curl http://127.0.0.1:8080/loud/heard')
  })
})
