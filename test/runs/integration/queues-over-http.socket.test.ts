import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { type Answer, call } from '../../support/access.js'
import { ApiStage, type Opened } from '../../support/api-stage.js'

interface Given {
  readonly token: string
  readonly value: string
  readonly deliveryCount: number
}

class QueuesStage extends ApiStage {
  static async open(): Promise<QueuesStage> {
    const opened: Opened = await ApiStage.opened('queues', {})
    return new QueuesStage(opened, 'queues')
  }
}

describe('queues over HTTP', function () {
  this.timeout(90_000)
  let stage: QueuesStage
  let topic: string
  let group: string

  before(async () => {
    stage = await QueuesStage.open()
  })
  after(() => stage?.close())
  beforeEach(async () => {
    topic = await stage.topic(2)
    group = `workers-${randomUUID()}`
  })

  const ask = (
    method: string,
    path: string,
    body: object = {},
    headers: Record<string, string> = {}
  ): Promise<Answer> => {
    const text = JSON.stringify(body)
    const all = { 'content-length': String(text.length), ...headers }
    return call(stage.url + path, { method, body: text, headers: all })
  }
  const queue = (): string => `/${topic}/${group}`
  const acquire = async (body: object): Promise<readonly Given[]> => {
    const { status, body: text } = await ask('POST', `${queue()}/acquire`, {
      encoding: 'text',
      start: 'earliest',
      ...body
    })
    expect(status, text).to.equal(200)
    return (JSON.parse(text) as { messages: readonly Given[] }).messages
  }
  const write = async (...values: string[]): Promise<void> => {
    const body = JSON.stringify({ records: values.map(data => ({ topic, data })), wait_for_send: true })
    const headers = { 'content-type': 'application/json', 'content-length': String(body.length) }
    const { status } = await call(`${stage.app.urls.shared}/kprf/push`, { method: 'POST', body, headers })
    expect(status).to.equal(200)
  }

  it('a shell acquires a message in bytes, and deletes its place', async () => {
    await write('hello')
    const taken = await ask('POST', `${queue()}/acquire`, { start: 'earliest' }, { accept: 'application/octet-stream' })
    expect([taken.status, taken.body, taken.headers['x-castellan-delivery-count']]).to.deep.equal([200, 'hello', '1'])
    const place = String(taken.headers.location)
    expect(place).to.match(new RegExp(`^${queue()}/messages/[\\w-]{95}$`))
    for (let time = 0; time < 2; time++) expect((await ask('DELETE', place)).status).to.equal(204)
    expect(await acquire({ waitMs: 1_000 })).to.deep.equal([])
  })

  it('each message is for one worker, and comes again when it is released', async () => {
    await write('a', 'b')
    const [one, two] = await Promise.all([acquire({}), acquire({})])
    expect([one[0]!.value, two[0]!.value].sort()).to.deep.equal(['a', 'b'])
    const settled = await ask('POST', `${queue()}/settle`, { accept: [one[0]!.token], release: [two[0]!.token] })
    expect([settled.status, JSON.parse(settled.body)]).to.deep.equal([
      200,
      {
        results: [
          { token: one[0]!.token, outcome: 'done' },
          { token: two[0]!.token, outcome: 'done' }
        ]
      }
    ])
    const [again] = await acquire({})
    expect([again!.value, again!.deliveryCount]).to.deep.equal([two[0]!.value, 2])
    expect((await ask('DELETE', `${queue()}/messages/${two[0]!.token}`)).status).to.equal(410)
    expect((await ask('DELETE', `${queue()}/messages/${again!.token}`)).status).to.equal(204)
  })

  it('a group has its settings changed, and is described', async () => {
    const changed = await ask('PATCH', queue(), { deliveryLimit: 10, lockMs: 20_000, start: 'earliest' })
    const settings = {
      start: 'earliest',
      lockMs: 20_000,
      deliveryLimit: 10,
      deadLetters: null,
      isolation: 'readUncommitted'
    }
    expect([changed.status, JSON.parse(changed.body)]).to.deep.equal([
      200,
      { group, appliesTo: 'all topics of the group', ...settings }
    ])
    expect((await ask('PATCH', queue(), { deliveryLimit: 1_000 })).status).to.equal(400)
    await write('a')
    expect(await acquire({})).to.have.length(1)
    const { status, body } = await ask('GET', queue())
    const described = JSON.parse(body) as { state: string; settings: object; members: object[] }
    expect([status, described.state, described.settings, described.members.length]).to.deep.equal([
      200,
      'Stable',
      settings,
      1
    ])
  })

  it('topics that there are not, and groups of another kind, are told so', async () => {
    for (const [method, path, body] of [
      ['POST', '/acquire', {}],
      ['PATCH', '', { lockMs: 20_000 }],
      ['GET', '', {}]
    ] as const) {
      const missing = await ask(method, `/${topic}-missing/${group}${path}`, body)
      expect([method, missing.status, JSON.parse(missing.body).code]).to.deep.equal([method, 404, 'unknownTopic'])
    }
    await call(`${stage.app.urls.shared}/pixy/topics/${topic}/messages?group=${group}`, {})
    for (const [method, path, body] of [
      ['POST', '/acquire', {}],
      ['POST', '/acquire', { start: 'earliest' }],
      ['PATCH', '', { lockMs: 20_000 }],
      ['GET', '', {}]
    ] as const) {
      const other = await ask(method, queue() + path, body)
      const { code, errorCode } = JSON.parse(other.body) as { code: string; errorCode: number }
      expect([method, other.status, code, errorCode]).to.deep.equal([method, 409, 'kafka', 69])
    }
  })
})
