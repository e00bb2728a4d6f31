import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { type App, startApp } from '../../../src/server/app/app.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { type Answer, call, configOf, makeToken, TestFolder } from '../../support/access.js'
import { logWorker } from '../../support/built.js'

/** What the worker of docs/queues.md sends with each acquire. */
const WANTED = (() => {
  const page = readFileSync('docs/queues.md', 'utf8')
  const [, php = ''] = /^\$wanted = \[(.*)\];$/m.exec(page) ?? []
  return JSON.parse(`{${php.replaceAll(' => ', ':').replaceAll("'", '"')}}`) as Record<string, unknown>
})()

const rule = (principal: string, operations: readonly string[], topics: readonly string[]) => ({
  principals: [principal],
  operations,
  topics,
  groups: ['*']
})

describe('queues: the start that an acquire names, and the rights for it', function () {
  this.timeout(60_000)
  const [worker, owner] = [makeToken(), makeToken()]
  const folder = new TestFolder()
  const lines: LogLine[] = []
  let app: App
  before(async () => {
    const config = configOf(folder, {
      http: { port: 0 },
      management: { port: 0 },
      embedded: { port: 0 },
      wal: { directory: folder.path },
      auth: {
        tokens: [
          { principal: 'worker', sha256: worker.sha256 },
          { principal: 'owner', sha256: owner.sha256 }
        ]
      },
      access: {
        audit: 'all',
        rules: [
          rule('worker', ['produce', 'consume', 'offsets'], ['jobs', 'orders', 'returns', 'bills']),
          rule('worker', ['alter'], ['jobs']),
          rule('owner', ['produce', 'consume', 'offsets', 'alter'], ['*'])
        ]
      }
    })
    app = await startApp(config, { log: recordingLogger(lines), version: '0.0.0-test', logWorker })
  })
  after(async () => {
    await app?.stop()
    folder.remove()
  })

  const ask = (method: string, path: string, body?: unknown, { token } = worker): Promise<Answer> =>
    call(app.urls.shared + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) })
    })
  const write = async (topic: string, ...values: string[]): Promise<void> => {
    for (const value of values)
      expect((await ask('POST', `/arion/sync/${topic}`, value, owner)).status, value).to.equal(201)
  }
  /** The worker of docs/queues.md: it takes and accepts jobs until there are none. */
  const work = async (queue: string): Promise<string[]> => {
    const done: string[] = []
    for (;;) {
      const { status, body } = await ask('POST', `/queues/${queue}/acquire`, { ...WANTED, waitMs: 500 })
      expect(status, body).to.equal(200)
      const { messages } = JSON.parse(body) as { messages: { token: string; value: string }[] }
      if (messages.length === 0) return done
      const accept = messages.map(({ token }) => token)
      expect((await ask('POST', `/queues/${queue}/settle`, { accept })).status).to.equal(200)
      done.push(...messages.map(({ value }) => value))
    }
  }
  const startOf = async (queue: string): Promise<unknown> =>
    JSON.parse((await ask('GET', `/queues/${queue}`, undefined, owner)).body).settings.start
  const audited = (group: string, operation: string) =>
    lines
      .map(({ fields }) => fields as Record<string, unknown>)
      .filter(line => line.group === group && line.operation === operation)
      .map(({ principal, topic, allowed }) => ({ principal, topic, allowed }))

  it('is named again and again by the worker of the docs, with the right to alter its one topic', async () => {
    expect(WANTED).to.include({ start: 'earliest', encoding: 'text' })
    await write('jobs', 'one', 'two')
    expect((await work('jobs/painters')).sort()).to.deep.equal(['one', 'two'])
    await write('jobs', 'three')
    expect(await work('jobs/painters')).to.deep.equal(['three'])
    // Another topic of the group needs no right of the worker, since the group has its start.
    await write('orders', 'four')
    expect(await work('orders/painters')).to.deep.equal(['four'])
  })

  it('that would count for other topics of the group is refused with their names, and changes nothing', async () => {
    for (const topic of ['jobs', 'returns', 'bills']) await write(topic, `of ${topic}`)
    for (const topic of ['returns', 'bills'])
      expect((await ask('POST', `/queues/${topic}/clerks/acquire`, { waitMs: 500 })).status).to.equal(200)
    const refused = await ask('POST', '/queues/jobs/clerks/acquire', { ...WANTED, settle: { accept: ['T'] } })
    const problem = JSON.parse(refused.body) as Record<string, unknown>
    expect([refused.status, problem.code], refused.body).to.deep.equal([403, 'forbidden'])
    expect(problem.detail).to.match(/"bills", "returns"/)
    expect(problem.settled).to.deep.equal([{ token: 'T', outcome: 'invalid' }])
    expect(await startOf('jobs/clerks')).to.equal('latest')
    expect(audited('clerks', 'alter')).to.deep.include.members([
      { principal: 'worker', topic: 'bills', allowed: false },
      { principal: 'worker', topic: 'returns', allowed: false }
    ])
    const refusedToo = await ask('PATCH', '/queues/jobs/clerks', { start: 'earliest' })
    expect([refusedToo.status, JSON.parse(refusedToo.body).detail]).to.deep.equal([403, problem.detail])
    const allowed = await ask('POST', '/queues/jobs/clerks/acquire', WANTED, owner)
    expect(JSON.parse(allowed.body).messages, allowed.body).not.to.have.length(0)
    expect(await startOf('jobs/clerks')).to.equal('earliest')
    for (const topic of ['jobs', 'bills', 'returns'])
      expect(audited('clerks', 'alter')).to.deep.include({ principal: 'owner', topic, allowed: true })
  })
})
