import { expect } from 'chai'
import { CastellanError, OverloadedError } from '../../src/core/errors.js'
import { atOnce } from '../../src/core/loop-turns.js'
import {
  MODERN_TYPE,
  type OutcomeSoFar,
  outcomesAnswer,
  problemAnswer
} from '../../src/http/exchange/modern-answers.js'
import {
  type App,
  type EmbeddedCluster,
  loadConfig,
  silentLogger,
  startApp,
  startEmbeddedCluster
} from '../../src/index.js'
import { walDirectoryOf } from '../support/wal-directory.js'

const JSON_TYPE = 'application/json'

interface Answered {
  readonly status: number
  readonly type: string
  readonly persisted: string | null
  readonly body: Record<string, unknown>
}

describe('kafboy 4: modern answers', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let app: App
  before(async () => {
    cluster = await startEmbeddedCluster({ autoCreateTopics: false })
    cluster.createTopic('orders', { partitions: 1 })
    const environment: Record<string, string> = {
      CASTELLAN_BROKERS: cluster.bootstrap,
      CASTELLAN_HTTP_PORT: '0',
      CASTELLAN_ADVANCED_HTTP_MAX_EVENT_LOOP_DELAY_MS: '0',
      CASTELLAN_MANAGEMENT_PORT: '0',
      CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps'),
      CASTELLAN_APIS_KPRF_MESSAGE_TIMEOUT_MS: '15000'
    }
    app = await startApp(loadConfig({ environment }), { log: silentLogger, version: '0' })
  })
  after(async () => {
    await app.stop()
    await cluster.close()
  })

  async function post(path: string, body: string, type: string, accept: string): Promise<Answered> {
    const answer = await fetch(app.urls.shared + path, {
      method: 'POST',
      body,
      headers: { 'content-type': type, accept }
    })
    const text = await answer.text()
    return {
      status: answer.status,
      type: answer.headers.get('content-type') ?? '',
      persisted: answer.headers.get('x-castellan-persisted'),
      body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text }
    }
  }
  const modern = (path: string, body: string, type = 'text/plain') => post(path, body, type, MODERN_TYPE)
  const push = (records: object[], wait = true): string => JSON.stringify({ records, wait_for_send: wait })
  const order = { topic: 'orders', data: 'hello' }

  const synchronous: [string, string, string][] = [
    ['/kprf/push', push([order]), JSON_TYPE],
    ['/kafboy/sync/orders', 'hello=world', 'application/x-www-form-urlencoded'],
    ['/arion/sync/orders/k1', 'hello', 'text/plain']
  ]
  for (const [path, body, type] of synchronous) {
    it(`${path} tells partition, offset and timestamp of each record`, async () => {
      const answer = await modern(path, body, type)
      expect(answer).to.deep.include({ status: 200, type: MODERN_TYPE, persisted: 'yes' })
      const [record] = answer.body.records as Record<string, unknown>[]
      expect(record).to.have.all.keys('partition', 'offset', 'timestamp')
      expect(record).to.include({ partition: 0, offset: cluster.highWatermark('orders', 0) - 1 })
    })
  }

  const asynchronous: [string, string, string][] = [
    ['/kprf/push', push([order, order], false), JSON_TYPE],
    ['/kafboy/async/orders', 'hello=world', 'application/x-www-form-urlencoded'],
    ['/arion/async/orders', 'hello', 'text/plain']
  ]
  for (const [path, body, type] of asynchronous) {
    it(`${path} tells that records are accepted`, async () => {
      const answer = await modern(path, body, type)
      expect(answer).to.deep.include({ status: 202, type: MODERN_TYPE, persisted: 'pending' })
      for (const record of answer.body.records as object[]) expect(record).to.deep.equal({ persisted: 'pending' })
    })
  }

  it('tells of a record that failed beside one that did not', async () => {
    const answer = await modern('/kprf/push', push([order, { ...order, partition: 7 }]), JSON_TYPE)
    expect(answer).to.deep.include({ status: 207, persisted: 'yn' })
    const [delivered, failed] = answer.body.records as { error?: object }[]
    expect(delivered).to.have.property('offset')
    expect(failed!.error).to.deep.include({ code: 'unknownPartition', persisted: 'no', retriable: false })
  })

  const refused: [string, string, string, number, string][] = [
    [
      '/kprf/push',
      '{',
      JSON_TYPE,
      400,
      'Request body deserialize error: EOF while parsing an object at line 1 column 1'
    ],
    ['/kprf/push', push([order]), 'text/plain', 415, "The request's content-type is not supported"],
    ['/kafboy/sync/orders', '', 'application/x-www-form-urlencoded', 400, 'empty'],
    ['/arion/sync/a%2Fb', 'hello', 'text/plain', 400, 'malformed topic']
  ]
  for (const [path, body, type, status, detail] of refused) {
    it(`${path} answers ${status} with a problem document, whose detail is "${detail.slice(0, 30)}…"`, async () => {
      const answer = await modern(path, body, type)
      expect(answer).to.deep.include({ status, type: 'application/problem+json', persisted: 'no' })
      expect(answer.body).to.include({ status, detail, code: 'invalidRequest', persisted: 'no', retriable: false })
    })
  }

  it('are for clients that ask for them: others get the answers of the original', async () => {
    for (const accept of ['*/*', 'application/json', 'application/vnd.castellan.v2+json']) {
      const answer = await post('/kprf/push', push([order]), JSON_TYPE, accept)
      expect([answer.status, answer.type, answer.body]).to.deep.equal([200, JSON_TYPE, { status: 'ok', errors: [] }])
    }
    const listed = await post('/kprf/push', push([order]), JSON_TYPE, `text/html, ${MODERN_TYPE};q=0.9`)
    expect(listed.type).to.equal(MODERN_TYPE)
  })

  it('kprf: a rate limit and a record that is too large are codes of their own', async () => {
    const answer = await modern('/kprf/push', push([order, { ...order, data: 'x'.repeat(2_000_000) }]), JSON_TYPE)
    expect([answer.status, answer.persisted]).to.deep.equal([207, 'yn'])
    const [, failed] = answer.body.records as { error?: object }[]
    expect(failed!.error).to.deep.include({ code: 'recordTooLarge', persisted: 'no', retriable: false })
  })
})

describe('modern answers', () => {
  it('have a status for all delivered, all accepted, and everything else', () => {
    const answerOf = (known: readonly OutcomeSoFar[]) => atOnce(outcomesAnswer(known))
    const delivered = { type: 'delivered', partition: 1, offset: 2, timestampMs: 3 } as const
    expect(answerOf([]).status).to.equal(200)
    expect(answerOf([delivered]).body).to.equal('{"records":[{"partition":1,"offset":2,"timestamp":3}]}')
    expect(answerOf(['pending', 'pending']).status).to.equal(202)
    expect(answerOf([delivered, 'pending']).status).to.equal(207)
  })

  it('name the code of what went wrong, where the status alone would name another', () => {
    const said = (cause?: CastellanError): unknown[] => {
      const { code, retriable } = JSON.parse(problemAnswer(503, '', 'no', cause).body) as Record<string, unknown>
      return [code, retriable]
    }
    expect(said()).to.deep.equal(['overloaded', true])
    expect(said(new OverloadedError('stopping', 'shuttingDown'))).to.deep.equal(['shuttingDown', true])
    expect(said(new CastellanError('unknownTopic', 'none', false))).to.deep.equal(['unknownTopic', false])
  })

  it('take the detail from the text of any API', () => {
    const detail = (body: string): unknown =>
      (JSON.parse(problemAnswer(503, body, 'no').body) as Record<string, unknown>).detail
    expect(detail('plain')).to.equal('plain')
    expect(detail('{"error":"a"}')).to.equal('a')
    expect(detail('{"status":"error","message":"b"}')).to.equal('b')
    expect(detail('{"status":"err","errors":[]}')).to.equal('{"status":"err","errors":[]}')
    expect(detail('')).to.equal(undefined)
  })
})
