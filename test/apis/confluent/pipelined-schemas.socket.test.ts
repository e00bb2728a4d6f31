import { expect } from 'chai'
import { confluent } from '../../../src/apis/confluent/api.js'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import { Idempotency } from '../../../src/http/api/idempotency.js'
import { Schemas } from '../../../src/schemas/schemas.js'
import { schemasSettings } from '../../../src/schemas/settings.js'
import { type Started, startHttp, until } from '../../http/server/stage.js'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { contextFor } from '../../support/api-context.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { localKeys } from '../../support/local-keys.js'
import { RawSocket } from '../../support/raw-socket.js'
import { turns } from '../../support/ticks.js'

interface Sent {
  readonly path: string
  readonly type: string
  readonly body: object
}

const RECORDS = '/v3/clusters/c/topics/t/records'
const VALUE = { type: 'AVRO', schema: '"int"', data: 1 }
/** Requests whose record has a schema for which the registry has to be asked. */
const WITH_SCHEMA: Readonly<Record<string, Sent>> = {
  'a request of v2': {
    path: '/topics/t',
    type: 'application/vnd.kafka.avro.v2+json',
    body: { value_schema: '"int"', records: [{ value: 1 }] }
  },
  'a request of v3': { path: RECORDS, type: 'application/json', body: { value: VALUE } },
  'a batch of v3': {
    path: `${RECORDS}:batch`,
    type: 'application/json',
    body: { entries: [{ id: '1', value: VALUE }] }
  }
}
const NEXT: Sent = {
  path: '/topics/t',
  type: 'application/vnd.kafka.json.v2+json',
  body: { records: [{ value: 'next' }] }
}
/** The `Idempotency-Key` of the request, and that of the next one. */
const KEYS: Readonly<Record<string, readonly (string | undefined)[]>> = {
  'neither has a key': [],
  'it has a key': ['a'],
  'the next one has a key': [undefined, 'b'],
  'both have keys': ['a', 'b']
}

describe('confluent: a request whose record waits for its schema', () => {
  let started: Started
  let verbs: FakeVerbs
  let registry: ScriptedRegistry
  /** Lets the registry answer. */
  let answer: () => void
  let client: RawSocket
  /** The next request is charged with an error. */
  let hasBug: boolean

  beforeEach(async () => {
    hasBug = false
    verbs = new FakeVerbs()
    registry = new ScriptedRegistry()
    const isAnswering = new Promise<never>(resolve => (answer = resolve as () => void))
    registry.script = () => isAnswering
    const settings = schemasSettings.parse({ registry: { urls: ['http://registry.test'] } })
    const schemas = new Schemas(settings, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
    const idempotency = new Idempotency({ keys: localKeys(), count: () => undefined })
    const context = contextFor(verbs, confluent.settings.parse({}), { schemas, idempotency, access: withBugs() })
    const addRoutes = await confluent.plugin(context)
    started = await startHttp({ plugin: async scope => addRoutes(scope) })
    client = await RawSocket.open(started.http.urls.shared)
  })
  afterEach(async () => {
    client.destroy()
    await started.http.close()
  })

  const withBugs = (): Access => ({
    ...openAccess,
    callerOf: request => ({
      ...openAccess.callerOf(request),
      charge: () => {
        if (!hasBug) return undefined
        hasBug = false
        throw new Error('a bug')
      }
    })
  })

  const requestOf = ({ path, type, body }: Sent, key: string | undefined): string => {
    const text = JSON.stringify(body)
    const lines = [`content-type: ${type}`, `content-length: ${text.length}`]
    if (key !== undefined) lines.push(`idempotency-key: ${key}`)
    return `POST /loud${path} HTTP/1.1\r\nhost: localhost\r\n${lines.join('\r\n')}\r\n\r\n${text}`
  }

  /** Sends two requests at once, and lets the registry answer when the server has had time for both. */
  async function sendBoth(both: string): Promise<readonly string[]> {
    await client.send(both)
    await until(() => registry.calls.length > 0, 'a call of the registry')
    await turns(20)
    answer()
    await client.until(() => client.answers === 2)
    expect(client.received.match(/HTTP\/1.1 20[07]/g)).to.have.length(2)
    return verbs.records.map(({ value }) => ((value as Buffer)[0] === 0 ? 'with a schema' : 'next'))
  }

  for (const [first, withSchema] of Object.entries(WITH_SCHEMA)) {
    for (const [when, [one, other]] of Object.entries(KEYS)) {
      it(`${first} is not overtaken by the next one of its connection where ${when}`, async () => {
        const order = await sendBoth(requestOf(withSchema, one) + requestOf(NEXT, other))
        expect(order).to.deep.equal(['with a schema', 'next'])
      })
    }
  }

  for (const [first, withSchema] of Object.entries(WITH_SCHEMA)) {
    it(`${first} has less time for Kafka by what it has waited, and the next one, which has not begun, has all of its time`, async () => {
      await sendBoth(requestOf(withSchema, undefined) + requestOf(NEXT, undefined))
      const [first, next] = verbs.calls.map(({ options }) => options.deadlineMs)
      expect(first).to.be.within(1, 59_999.999)
      expect(next).to.equal(60_000)
    })
  }

  for (const [first, withSchema] of Object.entries(WITH_SCHEMA)) {
    it(`${first} is answered 500 where a bug shows when its schema is there, and the next one goes on`, async () => {
      hasBug = true
      await client.send(requestOf(withSchema, undefined) + requestOf(NEXT, undefined))
      await until(() => registry.calls.length > 0, 'a call of the registry')
      answer()
      await client.until(() => client.answers === 2)
      expect(client.received.match(/HTTP\/1.1 \d+/g)).to.deep.equal(['HTTP/1.1 500', 'HTTP/1.1 200'])
      expect(verbs.records.map(({ value }) => String(value))).to.deep.equal(['"next"'])
    })
  }

  describe('in a stream', () => {
    const streamOf = (more = '', value: object = VALUE): string => {
      const record = JSON.stringify({ value })
      const head = `POST /loud${RECORDS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${more}`
      return `${head}transfer-encoding: chunked\r\n\r\n${record.length.toString(16)}\r\n${record}\r\n0\r\n\r\n`
    }

    it('is not overtaken by the next request', async () => {
      expect(await sendBoth(streamOf() + requestOf(NEXT, undefined))).to.deep.equal(['with a schema', 'next'])
    })

    it('is not overtaken by the next request where the client does not wait for 100 Continue', async () => {
      const both = streamOf('expect: 100-continue\r\n') + requestOf(NEXT, undefined)
      expect(await sendBoth(both)).to.deep.equal(['with a schema', 'next'])
    })

    for (const key of [undefined, 'b']) {
      it(`is not overtaken by the next request, ${key ? 'with' : 'without'} a key, behind one that waits for its key`, async () => {
        const other = await RawSocket.open(started.http.urls.shared)
        let answerStream = (): void => undefined
        const isAnswered = new Promise<never>(resolve => (answerStream = resolve as () => void))
        const { script } = registry
        registry.script = asked => (asked.body?.includes('long') ? isAnswered : script(asked))
        const first = requestOf(WITH_SCHEMA['a request of v2']!, 'a')
        await other.send(first)
        await until(() => registry.calls.length === 1, 'a call of the registry')
        await client.send(first + streamOf('', { ...VALUE, schema: '"long"' }) + requestOf(NEXT, key))
        await turns(20)
        answer()
        await until(() => registry.calls.length > 1, 'a call of the registry for the stream')
        await turns(20)
        answerStream()
        await client.until(() => client.answers === 3)
        other.destroy()
        const order = verbs.records.map(({ value }) => ((value as Buffer)[0] === 0 ? 'with a schema' : 'next'))
        expect(order).to.deep.equal(['with a schema', 'with a schema', 'next'])
      })
    }
  })

  it('a request of v2 is not overtaken by a stream of records behind it on its connection', async () => {
    const record = '{"value":{"type":"STRING","data":"next"}}'
    const head = `POST /loud${RECORDS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked`
    const stream = `${head}\r\n\r\n${record.length.toString(16)}\r\n${record}\r\n0\r\n\r\n`
    const order = await sendBoth(requestOf(WITH_SCHEMA['a request of v2']!, undefined) + stream)
    expect(order).to.deep.equal(['with a schema', 'next'])
  })
})
