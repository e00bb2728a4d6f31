import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { strimzi } from '../../../src/apis/strimzi/api.js'
import { ForbiddenError } from '../../../src/core/errors.js'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs, failure } from '../../support/fake-verbs.js'

describe('strimzi: asynchronous records, and permissions', () => {
  let app: FastifyInstance
  let verbs: FakeVerbs
  afterEach(() => app.close())

  async function serve(settings: object, overrides: object = {}): Promise<string> {
    const plugin = await strimzi.plugin(contextFor(verbs, strimzi.settings.parse(settings), overrides))
    app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
    await app.register(async scope => plugin(scope), { prefix: strimzi.prefix })
    return `${await app.listen({ host: '127.0.0.1', port: 0 })}/strimzi`
  }
  const ask = async (url: string, type?: string, body?: object): Promise<[number, string | null, unknown]> => {
    const answer = await fetch(url, {
      method: body === undefined ? 'GET' : 'POST',
      ...(body && { body: JSON.stringify(body) }),
      headers: type === undefined ? {} : { 'content-type': type }
    })
    const text = await answer.text()
    return [answer.status, answer.headers.get('x-castellan-persisted'), text === '' ? undefined : JSON.parse(text)]
  }
  const TEXT = 'application/vnd.kafka.text.v2+json'
  const records = { records: [{ value: 'a' }] }

  it('with durability disk they are answered when the log has them, and have no deadline', async () => {
    verbs = new FakeVerbs()
    const url = await serve({ durability: 'disk' })
    expect(await ask(`${url}/topics/orders?async=true`, TEXT, records)).to.deep.equal([204, 'pending', undefined])
    expect(verbs.calls[0]!.options).to.include({ durability: 'disk', deadlineMs: 0, answeredBy: 'strimzi' })
    expect((await ask(`${url}/topics/orders`, TEXT, records))[0]).to.equal(200)
    expect(verbs.calls[1]!.options).to.include({ durability: 'disk', deadlineMs: 60_000 })
  })

  it('a body of another type is told which types there are', async () => {
    verbs = new FakeVerbs()
    const url = await serve({})
    for (const path of ['/topics/orders', '/consumers/g']) {
      const { status, headers } = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(records)
      })
      expect([path, status]).to.deep.equal([path, 400])
      expect(headers.get('x-castellan-warning'))
        .to.match(/^records have the content-type application\/vnd\.kafka\.json\.v2\+json or /)
        .and.match(/, other bodies application\/vnd\.kafka\.v2\+json$/)
    }
  })

  it('records that are not accepted are answered 503', async () => {
    verbs = new FakeVerbs({ refuse: () => ({ ...failure('overloaded'), retriable: true }) })
    const [status, persisted] = await ask(`${await serve({})}/topics/orders?async=true`, TEXT, records)
    expect([status, persisted]).to.deep.equal([503, 'no'])
  })

  it('a client that may nothing is answered 403 by every route but health, version and description', async () => {
    verbs = new FakeVerbs()
    const refusal = () => new ForbiddenError('not allowed')
    const caller = { ...openAccess.callerOf({} as never), isRuled: true, allows: () => false, refusalOf: refusal }
    const access: Access = { callerOf: () => caller }
    const url = await serve({}, { access })
    const V2 = 'application/vnd.kafka.v2+json'
    const instance = '/consumers/g/instances/c'
    const asked: [path: string, type?: string, body?: object][] = [
      ['/topics/orders', TEXT, records],
      ['/topics/orders/partitions/0', TEXT, records],
      ['/topics'],
      ['/topics/orders/partitions'],
      ['/admin/topics', 'application/vnd.kafka.json.v2+json', { topic_name: 't' }],
      ['/consumers/g', V2, {}],
      [`${instance}/subscription`],
      [`${instance}/assignments`, V2, { partitions: [] }],
      [`${instance}/positions/end`, V2, { partitions: [] }],
      [`${instance}/records`],
      [`${instance}/offsets`, V2, {}],
      ['/metrics']
    ]
    for (const [path, type, body] of asked) {
      const [status, , answer] = await ask(url + path, type, body)
      expect([status, answer], path).to.deep.equal([403, { error_code: 403, message: 'not allowed' }])
    }
    for (const path of ['/', '/healthy', '/ready', '/openapi']) expect((await ask(url + path))[0], path).to.equal(200)
  })
})
