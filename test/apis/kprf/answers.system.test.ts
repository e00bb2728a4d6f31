import { PassThrough } from 'node:stream'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import type { KprfSettings } from '../../../src/apis/kprf/settings.js'
import { OverloadedError } from '../../../src/core/errors.js'
import type { RecordFailure } from '../../../src/core/model.js'
import { delivered, FakeGateway, failure } from '../../support/fake-gateway.js'
import { checkRows } from '../../support/rows.js'
import { asJson, pushOf, serve } from './harness.js'

const OK = '{"status":"ok","errors":[]}'
const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'
const LARGE = 'x'.repeat(2_000)

const TEXTS = {
  ratelimit: 'ratelimit',
  queueFull: 'Message production error: QueueFull (Local: Queue full)',
  timedOut: 'Message production error: MessageTimedOut (Local: Message timed out)',
  unknownTopic: 'Message production error: UnknownTopic (Local: Unknown topic)',
  unknownPartition: 'Message production error: UnknownPartition (Local: Unknown partition)',
  tooLarge: 'Message production error: MessageSizeTooLarge (Broker: Message size too large)',
  invalidTopic: 'Message production error: InvalidTopic (Broker: Invalid topic)',
  leaving: 'Message production error: PurgeQueue (Local: Purged in queue)'
}

/** The body of an answer of which something failed: one text per record, `undefined` for one that is fine. */
const failures = (...texts: (keyof typeof TEXTS | undefined)[]): string =>
  JSON.stringify({
    status: 'err',
    errors: texts.map(text => ({ error: text !== undefined, message: text === undefined ? null : TEXTS[text] }))
  })

/** The topic of a record decides what becomes of it. */
const refusedAtOnce = new Map<string, RecordFailure>([
  ['full', failure('overloaded')],
  ['leaving', failure('shuttingDown')],
  ['invalid', failure('invalidTopic', 17)],
  ['seen-missing', failure('unknownTopic', 3)]
])
const failedLater = new Map<string, RecordFailure>([
  ['missing', failure('unknownTopic', 3)],
  ['no-partition', failure('unknownPartition')],
  ['withdrawn', failure('timedOut')],
  ['in-doubt', { ...failure('timedOut'), persisted: 'unknown' }]
])
const createGateway = (): FakeGateway =>
  new FakeGateway({
    refuse: ({ topic }) => refusedAtOnce.get(topic),
    outcome: ({ topic }) => failedLater.get(topic) ?? delivered()
  })

interface Answer {
  readonly status: number
  readonly type?: string
  readonly body: string
}

interface Case {
  readonly title: string
  readonly payload?: string
  readonly method?: 'POST' | 'GET' | 'PUT' | 'DELETE' | 'OPTIONS'
  readonly url?: string
  readonly headers?: Record<string, string>
  readonly settings?: Partial<KprfSettings>
  readonly prepare?: (app: FastifyInstance) => void
  /** Of answers to `POST /push`. */
  readonly persisted?: string
  readonly warning?: string
  readonly answer: Answer
}

const ok: Answer = { status: 200, type: JSON_TYPE, body: OK }
const failed = (...texts: Parameters<typeof failures>): Answer => ({
  status: 500,
  type: JSON_TYPE,
  body: failures(...texts)
})
const text = (status: number, body: string): Answer => ({ status, type: TEXT_TYPE, body })
const unreadable = (reason: string): Answer => text(400, `Request body deserialize error: ${reason}`)

const one = (value: string): string => JSON.stringify({ records: [{ topic: 't', data: value }] })
const many = (count: number, topic: string): string[] => Array.from({ length: count }, () => topic)

/** What every kprf client may be told while no rate limit is reached. */
const cases: Case[] = [
  // Asynchronous: only what found no room is complained of.
  { title: 'async: taken', payload: pushOf(['t'], false), persisted: 'pending', answer: ok },
  { title: 'async: many taken', payload: pushOf(many(1_000, 't'), false), persisted: 'pending', answer: ok },
  { title: 'async: wait_for_send absent', payload: one('d'), persisted: 'pending', answer: ok },
  {
    title: 'async: wait_for_send null',
    payload: '{"records":[{"topic":"t","data":"d"}],"wait_for_send":null}',
    persisted: 'pending',
    answer: ok
  },
  { title: 'async: arrays', payload: '[[["d","t","k",0]],false]', persisted: 'pending', answer: ok },
  { title: 'async: no records', payload: pushOf([], false), persisted: 'yes', answer: ok },
  { title: 'async: fails later', payload: pushOf(['missing', 'in-doubt'], false), persisted: 'pending', answer: ok },
  {
    title: 'async: all full',
    payload: pushOf(['full', 'full'], false),
    persisted: 'no',
    answer: failed('queueFull', 'queueFull')
  },
  {
    title: 'async: partly full',
    payload: pushOf(['t', 'full', 't'], false),
    persisted: 'pnp',
    answer: failed(undefined, 'queueFull', undefined)
  },
  { title: 'async: leaving', payload: pushOf(['leaving'], false), persisted: 'no', answer: failed('leaving') },
  { title: 'async: invalid topic is hidden', payload: pushOf(['invalid', 't'], false), persisted: 'np', answer: ok },
  {
    title: 'async: invalid topic beside a full one',
    payload: pushOf(['invalid', 'full'], false),
    persisted: 'no',
    answer: failed(undefined, 'queueFull')
  },
  {
    title: 'async: too large is hidden',
    payload: one(LARGE),
    settings: { messageMaxBytes: 1_000 },
    persisted: 'no',
    answer: ok
  },
  {
    title: 'async: full is hidden by whenFull: drop',
    payload: pushOf(['t', 'full'], false),
    settings: { whenFull: 'drop' },
    persisted: 'pn',
    answer: ok
  },
  // Synchronous: one entry per record as soon as one of them failed.
  { title: 'sync: delivered', payload: pushOf(['t'], true), persisted: 'yes', answer: ok },
  { title: 'sync: many delivered', payload: pushOf(many(1_000, 't'), true), persisted: 'yes', answer: ok },
  { title: 'sync: arrays', payload: '[[["d","t",null,null]],true]', persisted: 'yes', answer: ok },
  { title: 'sync: no records', payload: pushOf([], true), persisted: 'yes', answer: ok },
  {
    title: 'sync: all failed',
    payload: pushOf(['missing', 'no-partition'], true),
    persisted: 'no',
    answer: failed('unknownTopic', 'unknownPartition')
  },
  {
    title: 'sync: partly failed',
    payload: pushOf(['t', 'missing', 't'], true),
    persisted: 'yny',
    answer: failed(undefined, 'unknownTopic', undefined)
  },
  {
    title: 'sync: one in doubt',
    payload: pushOf(['in-doubt'], true),
    persisted: 'unknown',
    answer: failed('timedOut')
  },
  {
    title: 'sync: time-outs',
    payload: pushOf(['t', 'withdrawn', 'in-doubt'], true),
    persisted: 'ynu',
    answer: failed(undefined, 'timedOut', 'timedOut')
  },
  { title: 'sync: full', payload: pushOf(['full'], true), persisted: 'no', answer: failed('queueFull') },
  { title: 'sync: leaving', payload: pushOf(['leaving'], true), persisted: 'no', answer: failed('leaving') },
  {
    title: 'sync: invalid topic',
    payload: pushOf(['t', 'invalid'], true),
    persisted: 'yn',
    answer: failed(undefined, 'invalidTopic')
  },
  {
    title: 'sync: refused from memory',
    payload: pushOf(['seen-missing'], true),
    persisted: 'no',
    answer: failed('unknownTopic')
  },
  {
    title: 'sync: too large',
    payload: JSON.stringify({
      records: [
        { topic: 't', data: 'd' },
        { topic: 't', data: LARGE }
      ],
      wait_for_send: true
    }),
    settings: { messageMaxBytes: 1_000 },
    persisted: 'yn',
    answer: failed(undefined, 'tooLarge')
  },
  {
    title: 'sync: all too large',
    payload: JSON.stringify({ records: [{ topic: 't', data: LARGE }], wait_for_send: true }),
    settings: { messageMaxBytes: 1_000 },
    persisted: 'no',
    answer: failed('tooLarge')
  },
  // Paths, methods, content types.
  { title: 'a slash behind', url: '/kprf/push/', payload: pushOf(['t'], true), persisted: 'yes', answer: ok },
  { title: 'a query', url: '/kprf/push?x=1', payload: pushOf(['t'], true), persisted: 'yes', answer: ok },
  {
    title: 'content type with parameter',
    headers: { 'content-type': 'application/json; charset=utf-8' },
    payload: one('d'),
    persisted: 'pending',
    answer: ok
  },
  {
    title: 'content type in upper case',
    headers: { 'content-type': 'APPLICATION/JSON' },
    payload: one('d'),
    persisted: 'pending',
    answer: ok
  },
  {
    title: 'content type with suffix',
    headers: { 'content-type': 'application/json+x' },
    payload: one('d'),
    persisted: 'pending',
    answer: ok
  },
  ...['application/x-www-form-urlencoded', 'text/plain', 'application/vnd.api+json', ''].map(type => ({
    title: `415 for content type "${type}"`,
    headers: { 'content-type': type },
    payload: '{',
    persisted: 'no',
    answer: text(415, "The request's content-type is not supported"),
    warning: 'send the body with the header content-type: application/json'
  })),
  ...(['GET', 'PUT', 'DELETE', 'OPTIONS'] as const).map(method => ({
    title: `405 for ${method}`,
    method,
    answer: text(405, 'HTTP method not allowed')
  })),
  ...['/kprf/PUSH', '/kprf//push', '/kprf/push//', '/kprf/%70ush', '/kprf/'].map(url => ({
    title: `404 for ${url}`,
    url,
    payload: one('d'),
    answer: { status: 404, body: '' }
  })),
  // Source: spec of kprf, texts seen from it.
  ...(
    [
      ['{}', 'missing field `records` at line 1 column 2'],
      ['{"records":null}', 'invalid type: null, expected a sequence at line 1 column 15'],
      ['{"records":[{"data":"x"}]}', 'missing field `topic` at line 1 column 24'],
      ['{"records":[{"topic":"beh","data":5}]}', 'invalid type: integer `5`, expected a string at line 1 column 35'],
      ['{"records":[],"wait_for_send":"true"}', 'invalid type: string "true", expected a boolean at line 1 column 36'],
      ['{"records":[],"records":[]}', 'duplicate field `records` at line 1 column 23'],
      ['{', 'EOF while parsing an object at line 1 column 1'],
      ['abc', 'expected value at line 1 column 1'],
      ['', 'EOF while parsing a value at line 1 column 0']
    ] as const
  ).map(([payload, reason]) => ({
    title: `400 for ${payload || 'nothing'}`,
    payload,
    persisted: 'no',
    answer: unreadable(reason)
  })),
  // Limits.
  {
    title: '413 for a large body',
    payload: `{"records":[]${' '.repeat(60)}}`,
    settings: { maxBodyBytes: 60 },
    persisted: 'no',
    answer: text(413, 'The request payload is too large')
  },
  {
    title: '413 for many records',
    payload: pushOf(['t', 't'], true),
    settings: { maxRecordsPerRequest: 1 },
    persisted: 'no',
    answer: text(413, 'The request payload is too large')
  },
  {
    title: '503 before the body is read',
    payload: pushOf(['t'], true),
    prepare: app => app.addHook('onRequest', (_request, _reply, done) => done(new OverloadedError('made up'))),
    persisted: 'no',
    answer: { ...failed('queueFull'), status: 503 }
  },
  {
    title: '503 in the middle of the body',
    payload: pushOf(['t'], true),
    prepare: app =>
      app.addHook('preParsing', (_request, _reply, _payload, done) => {
        const counted = new PassThrough()
        done(null, counted)
        counted.destroy(new OverloadedError('made up'))
      }),
    persisted: 'no',
    answer: { ...failed('queueFull'), status: 503 }
  }
]

/** What a record beyond a rate limit changes; the limit of `slow` is 1, that of `shut` was reached before. */
const limited: Case[] = [
  { title: 'async: all dropped', payload: pushOf(['shut'], false), persisted: 'no', answer: ok },
  { title: 'async: some dropped', payload: pushOf(['t', 'shut', 't'], false), persisted: 'pnp', answer: ok },
  { title: 'async: the first passes', payload: pushOf(['slow', 'slow'], false), persisted: 'pn', answer: ok },
  {
    title: 'async: dropped beside a full one',
    payload: pushOf(['shut', 'full', 't'], false),
    persisted: 'nnp',
    answer: failed(undefined, 'queueFull', undefined)
  },
  {
    title: 'async: dropped beside one that is dropped when full',
    payload: pushOf(['shut', 'full', 't'], false),
    settings: { whenFull: 'drop' },
    persisted: 'nnp',
    answer: ok
  },
  {
    title: 'sync: all refused',
    payload: pushOf(['shut', 'shut'], true),
    persisted: 'no',
    answer: failed('ratelimit', 'ratelimit')
  },
  {
    title: 'sync: the first passes',
    payload: pushOf(['slow', 'slow'], true),
    persisted: 'yn',
    answer: failed(undefined, 'ratelimit')
  },
  {
    title: 'sync: refused between delivered ones',
    payload: pushOf(['t', 'shut', 't'], true),
    persisted: 'yny',
    answer: failed(undefined, 'ratelimit', undefined)
  },
  {
    title: 'sync: every kind at once',
    payload: pushOf(['shut', 't', 'missing', 'full', 'slow', 'in-doubt', 'slow'], true),
    persisted: 'nynnyun',
    answer: failed('ratelimit', undefined, 'unknownTopic', 'queueFull', undefined, 'timedOut', 'ratelimit')
  },
  {
    title: 'sync: beyond the limit and too large',
    payload: JSON.stringify({
      records: [
        { topic: 'slow', data: LARGE },
        { topic: 'slow', data: LARGE },
        { topic: 't', data: 'd' }
      ],
      wait_for_send: true
    }),
    settings: { messageMaxBytes: 1_000 },
    persisted: 'nny',
    answer: failed('tooLarge', 'ratelimit', undefined)
  }
]

const rules = (...topics: [string, number][]) => ({
  ratelimit: { enabled: true, rules: topics.map(([topic, maxPerMinute]) => ({ topic, maxPerMinute })) }
})

async function expectAnswer(
  { payload = '', method = 'POST', url = '/kprf/push', ...row }: Case,
  limits: object
): Promise<void> {
  const { headers = asJson, settings, prepare } = row
  const served = await serve({
    gateway: createGateway(),
    settings: { ...limits, ...settings },
    now: () => 0,
    ...(prepare && { prepare })
  })
  try {
    const body = method === 'GET' ? {} : { payload }
    // Uses up what the rate limit of this topic allows, where it has one.
    await served.app.inject({ method: 'POST', url: '/kprf/push', payload: pushOf(['shut'], false) })
    const answer = await served.app.inject({ method, url, headers, ...body })
    const type = answer.headers['content-type']
    expect({
      status: answer.statusCode,
      ...(type !== undefined && { type: String(type) }),
      body: answer.body
    }).to.deep.equal(row.answer)
    expect(answer.headers['x-castellan-persisted'], 'x-castellan-persisted').to.equal(row.persisted)
    expect(answer.headers['x-castellan-warning']).to.equal(row.warning)
  } finally {
    await served.app.close()
  }
}

const answersAreRight = (rows: readonly Case[], limits: object): Promise<void> =>
  checkRows(
    rows,
    row => expectAnswer(row, limits),
    ({ title }) => title
  )

describe('every answer of kprf', () => {
  const modes: [string, object][] = [
    ['without rate limits', {}],
    ['with rate limits that are off', { ratelimit: { ...rules(['t', 1]).ratelimit, enabled: false } }],
    ['with a rate limit for another topic', rules(['elsewhere', 1])],
    [
      'with limits that are answered 429',
      { ratelimit: { ...rules(['elsewhere', 1]).ratelimit, answer: 'tooManyRequests' } }
    ],
    [
      'with rate limits that are not reached',
      rules(...['t', 'full', 'missing', 'shut'].map((topic): [string, number] => [topic, 10_000]))
    ]
  ]
  for (const [mode, limits] of modes) {
    it(`is that of kprf ${mode}`, () => answersAreRight(cases, limits))
  }

  it('is that of kprf beyond a rate limit', () => answersAreRight(limited, rules(['slow', 1], ['shut', 1])))
})
