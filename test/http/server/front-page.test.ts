import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type DescribedApi, json } from '../../../src/http/openapi/operation.js'
import { addDescriptions, addManagementDescription, addPartDescription } from '../../../src/http/server/front-page.js'

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
