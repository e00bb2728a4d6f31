import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { expect } from 'chai'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { type Caller, openAccess } from '../../../src/http/access/access.js'
import { KeyAnswers, unanswered } from '../../../src/http/api/key-answers.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import { Schemas } from '../../../src/schemas/schemas.js'
import { schemasSettings } from '../../../src/schemas/settings.js'
import type { AdminVerbs, FollowOptions, FollowSink, ReadSubscription } from '../../../src/verbs/verbs.js'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { delivered, FakeVerbs } from '../../support/fake-verbs.js'
import { McpPlay } from './play.js'

/** A topic whose records the test gives. */
class FollowedVerbs extends FakeVerbs {
  readonly #follows: (() => void)[] = []
  sink: FollowSink | undefined
  stopped = 0
  readonly positions = new Map<number, number>()

  constructor(end: number) {
    super()
    this.partitions.set('orders', 1)
    const logEnds = async (all: readonly unknown[]) => all.map(() => ({ start: 0, end }))
    this.admin = { ...this.admin, logEnds } as unknown as AdminVerbs
  }

  /** Resolves when a tool follows the topic. */
  followed(): Promise<void> {
    return this.sink === undefined ? new Promise(resolve => this.#follows.push(resolve)) : Promise.resolve()
  }

  override async follow(_topic?: string, options?: FollowOptions, sink?: FollowSink): Promise<ReadSubscription> {
    for (const [partition, offset] of options!.positions) this.positions.set(partition, offset)
    sink!.begins(this.positions)
    this.sink = sink
    for (const tell of this.#follows.splice(0)) tell()
    return { resume: () => undefined, stop: () => void this.stopped++ }
  }

  give(offset: number, value: Buffer): void {
    this.positions.set(0, offset + 1)
    this.sink!.take(0, { offset, timestampMs: 0, key: null, value, headers: [] })
    this.sink!.flush()
  }
}

describe('tools for agents', () => {
  let play: McpPlay | undefined
  const open = async (...given: Parameters<typeof McpPlay.open>): Promise<McpPlay> => {
    play = await McpPlay.open(...given)
    return play
  }
  afterEach(async () => {
    await play?.close()
    play = undefined
  })

  it('name the management port for problems where the gateway has no status', async () => {
    const { isError, structuredContent, content } = await (await open(new FakeVerbs())).call('list_problems')
    expect([isError, structuredContent.error]).to.deep.equal([true, 'askManagementPort'])
    expect(content[0]!.text).to.include('/status.json of the management port')
  })

  it('tell of problems while all calls of a client wait for Kafka', async () => {
    const verbs = new FakeVerbs()
    const hanging: (() => void)[] = []
    verbs.topics = () => new Promise(resolve => hanging.push(() => resolve(new Map())))
    const opened = await open(verbs, { forMcp: { issuers: [], trouble: async () => [] } })
    const leaving = new AbortController()
    const asked = Array.from({ length: 4 }, () => opened.call('list_topics', {}, leaving.signal).catch(() => undefined))
    while (hanging.length < 4) await new Promise(setImmediate)
    expect((await opened.call('list_topics')).structuredContent.error).to.equal('tooManyCalls')
    expect((await opened.call('list_problems')).structuredContent).to.deep.equal({ problems: [] })
    leaving.abort()
    await Promise.all(asked)
    for (const answer of hanging) answer()
  })

  it('are overloaded where others look for records, and a client has too many where it does', async () => {
    const verbs = new FollowedVerbs(1)
    const searches: (() => void)[] = []
    const found = { verdict: 'no', message: '', records: [], searched: [], notSearched: 0 } as const
    const askers: unknown[] = []
    const findRecord = (_: unknown, asker: unknown) => {
      askers.push(asker)
      return new Promise(resolve => searches.push(() => resolve(found)))
    }
    const callerOf = (request: IncomingMessage): Caller => ({
      ...openAccess.callerOf(request),
      principal: request.headers.authorization!
    })
    const opened = await open(verbs, { forMcp: { issuers: [], findRecord }, access: { callerOf } } as object)
    const find = (who: string) => opened.call('find_record', { topic: 'orders', key: 'k' }, undefined, who)
    const running = ['a', 'a', 'a'].map(find)
    while (searches.length < 3) await new Promise(setImmediate)
    expect((await find('a')).structuredContent.error).to.equal('tooManyCalls')
    running.push(find('b'))
    while (searches.length < 4) await new Promise(setImmediate)
    expect((await find('c')).structuredContent.error).to.equal('overloaded')
    for (const end of searches) end()
    await Promise.all(running)
    expect(askers.at(-1), 'whose work it is').to.deep.equal({ principal: 'b', client: 'principal b' })
  })

  it('end their wait for records when the client leaves', async () => {
    const verbs = new FollowedVerbs(5)
    const leaving = new AbortController()
    const { call } = await open(verbs)
    const asked = call.bind(play)('read_messages', { topic: 'orders' }, leaving.signal)
    await verbs.followed()
    leaving.abort()
    await asked.catch(() => undefined)
    while (verbs.stopped === 0) await new Promise(setImmediate)
  })

  it('end it when the process stops, and say so', async () => {
    const verbs = new FollowedVerbs(5)
    const opened = await open(verbs)
    const asked = opened.call('read_messages', { topic: 'orders' })
    await verbs.followed()
    await opened.drain()
    const { isError, structuredContent } = await asked
    expect([isError, structuredContent.error]).to.deep.equal([true, 'shuttingDown'])
    expect(verbs.stopped).to.be.above(0)
  })

  it('say what became of a record that is on its way when the process stops', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    const opened = await open(verbs, {}, { write: true })
    const asked = opened.call('produce_message', { topic: 'orders', value: 'v' })
    while (verbs.calls.length === 0) await new Promise(setImmediate)
    await opened.drain()
    verbs.calls[0]!.settle([delivered(0, 7)])
    expect((await asked).structuredContent).to.include({ persisted: 'yes', offset: 7 })
  })

  it('say that the gateway which knows a key does not answer', async () => {
    const answers = new KeyAnswers(
      () => 'gateway',
      () => undefined
    )
    const guard = () => (exchange: Exchange) => answers.refuse(exchange, unanswered('no answer came'), undefined)
    const opened = await open(new FakeVerbs(), { idempotency: { guard } } as object, { write: true })
    const { structuredContent } = await opened.call('produce_message', { topic: 'orders', value: 'v' })
    expect(structuredContent).to.include({ error: 'keyUnanswered', persisted: 'unknown', retryAfterSeconds: 5 })
  })

  it('end where the log ends, also where its last offset has no record, and read what is written later with the next call', async () => {
    const verbs = new FollowedVerbs(2)
    const asked = (await open(verbs)).call('read_messages', { topic: 'orders', from: 'earliest' })
    await verbs.followed()
    verbs.give(0, Buffer.from('a'))
    // A control record: its reader moves on, and says nothing.
    verbs.positions.set(0, 2)
    const { structuredContent } = await asked
    expect(structuredContent).to.deep.include({ next: { 0: 2 }, at_end: true })
    expect(structuredContent.records).to.have.length(1)
  })

  it('go on with what was written while a call ran', async () => {
    const verbs = new FollowedVerbs(2)
    const asked = (await open(verbs)).call('read_messages', { topic: 'orders', from: 'earliest' })
    await verbs.followed()
    for (const offset of [0, 1, 2]) {
      verbs.positions.set(0, offset + 1)
      verbs.sink!.take(0, { offset, timestampMs: 0, key: null, value: null, headers: [] })
    }
    const { structuredContent } = await asked
    expect(structuredContent.records).to.have.length(2)
    expect(structuredContent).to.deep.include({ next: { 0: 2 }, at_end: true })
  })

  it('hold the bytes of an answer until it has left, and wait for capacity', async () => {
    const records = new RecordBudget(1024 * 1024, () => performance.now())
    const verbs = new FollowedVerbs(1)
    const other = records.hold(1024 * 1024, 'another client')
    const asked = (await open(verbs, { records })).call('read_messages', { topic: 'orders' })
    while (!records.isShort) await new Promise(setImmediate)
    expect(verbs.sink).to.equal(undefined)
    other.release()
    await verbs.followed()
    expect(records.heldBytes).to.be.at.least(32 * 1024)
    verbs.give(0, Buffer.alloc(10_000, 97))
    expect(records.heldBytes).to.be.at.least(42_000)
    expect((await asked).structuredContent.records).to.have.length(1)
    while (records.heldBytes > 0) await new Promise(setImmediate)
  })

  it('read a message only when all before it on its connection are answered', async () => {
    const verbs = new FakeVerbs()
    let answer = (): void => undefined
    verbs.topics = () => new Promise(resolve => (answer = () => resolve(new Map())))
    const read: string[] = []
    const callerOf = (request: IncomingMessage): Caller => ({
      ...openAccess.callerOf(request),
      principal: request.headers.authorization!,
      charge: () => void read.push(request.headers.authorization!)
    })
    const opened = await open(verbs, { access: { callerOf } } as object)
    const { hostname, port } = new URL(opened.url)
    const messageOf = (id: number, body: string): string =>
      `POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${id}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    const call = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_topics' } })
    const ping = (id: number): string => messageOf(id, `{"jsonrpc":"2.0","id":${id},"method":"ping"}`)
    const socket = connect(Number(port), hostname)
    let answers = ''
    socket.on('data', data => (answers += data.toString()))
    socket.write(messageOf(1, call) + ping(2) + ping(3))
    while (read.length === 0) await new Promise(setImmediate)
    await opened.call('list_problems', {}, undefined, 'other')
    expect(read).to.deep.equal(['1', 'other'])
    answer()
    while (!answers.includes('"id":3')) await new Promise(setImmediate)
    expect(read).to.deep.equal(['1', 'other', '2', '3'])
    socket.destroy()
  })

  it('hold no large message while it waits for capacity', async () => {
    const records = new RecordBudget(1024 * 1024, () => performance.now())
    const other = records.hold(1024 * 1024, 'another client')
    const opened = await open(new FollowedVerbs(1), { records })
    const post = (x: unknown) =>
      fetch(opened.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { x } })
      })
    const small = post('')
    while (!records.isShort) await new Promise(setImmediate)
    expect((await post('x'.repeat(40_000))).status).to.equal(503)
    other.release()
    expect((await small).status).to.equal(200)
  })

  it('list groups with very long names in pages of some bytes, and go on after each, also after invisible characters', async () => {
    const verbs = new FakeVerbs()
    const names = Array.from({ length: 10 }, (_, n) => `g\u200b%${n}${'g'.repeat(30_000)}`)
    const described = { state: 'Empty', type: 'classic', members: [] }
    verbs.describe = (async () => new Map(names.map(groupId => [groupId, { ...described, groupId }]))) as never
    const opened = await open(verbs)
    const seen: string[] = []
    for (let cursor: unknown; ; ) {
      const { structuredContent } = await opened.call('list_groups', { cursor })
      const { groups, next } = structuredContent as { groups: { group: string }[]; next?: string }
      expect(Buffer.byteLength(JSON.stringify(groups))).to.be.below(70_000)
      seen.push(...groups.map(({ group }) => group))
      cursor = next
      if (next === undefined || seen.length > names.length) break
    }
    expect(seen).to.deep.equal(names.map(name => name.replace('\u200b', '\\u200b')))
    const wrong = (await opened.call('list_groups', { cursor: '%' })).structuredContent
    expect(wrong).to.deep.include({ error: 'invalidArguments', arguments: ['cursor'] })
  })

  it('show values and schemas of a registry, and its words only as such', async () => {
    const registry = new ScriptedRegistry()
    const settings = schemasSettings.parse({ registry: { urls: ['http://registry.example'] } })
    const schemas = new Schemas(settings, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
    const text = '{"type":"record","name":"Order","fields":[{"name":"n","type":"long","doc":"ignore\u200b all"}]}'
    const id = registry.add('orders-value', text)
    const verbs = new FollowedVerbs(1)
    registry.add('secret-value', text)
    const values = [{ topics: ['secret'], show: 'none' }]
    const { call } = await open(verbs, { schemas: schemas as never }, { values })
    const ask = call.bind(play!)
    const shown = await ask('get_schema', { topic: 'orders' })
    expect(shown.structuredContent).to.deep.equal({
      topic: 'orders',
      part: 'value',
      subject: 'orders-value',
      id,
      version: 1,
      format: 'AVRO',
      references: [],
      schema: text.replace('\u200b', '\\u200b')
    })
    expect((await ask('get_schema', { topic: 'orders', part: 'key' })).structuredContent).to.include({
      error: 'unknownSchema'
    })
    expect((await ask('get_schema', { topic: 'secret' })).structuredContent).to.include({ error: 'notShown' })
    const asked = ask('read_messages', { topic: 'orders' })
    await verbs.followed()
    const schema = await schemas.resolve({ topic: 'orders', part: 'value', mayRegister: () => false })
    verbs.give(0, await schema.encode('{"n":9007199254740993}'))
    expect((await asked).structuredContent.records).to.deep.equal([
      { partition: 0, offset: 0, timestamp: 0, key: null, value: '{"n":9007199254740993}', value_encoding: 'json' }
    ])
  })
})
