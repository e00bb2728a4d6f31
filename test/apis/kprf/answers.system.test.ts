import { PassThrough } from 'node:stream'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import type { KprfSettings } from '../../../src/apis/kprf/settings.js'
import { OverloadedError } from '../../../src/core/errors.js'
import type { RecordFailure } from '../../../src/core/model.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { checkRows } from '../../support/rows.js'
import { asJson, pushOf, serve } from './stage.js'

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
const createGateway = (): FakeVerbs =>
  new FakeVerbs({
    refuse: ({ topic }) => refusedAtOnce.get(topic),
    outcome: ({ topic }) => failedLater.get(topic) ?? delivered()
  })

interface Answer {
  readonly status: number
  readonly type?: string
  readonly body: string
}

/** What is asked beside a payload for `POST /push`, and what else is told. */
interface More {
  readonly method?: 'POST' | 'GET' | 'PUT' | 'DELETE' | 'OPTIONS'
  readonly url?: string
  readonly headers?: Record<string, string>
  readonly settings?: Partial<KprfSettings>
  readonly prepare?: (app: FastifyInstance) => void
  readonly warning?: string
}

/** `persisted` is of answers to `POST /push`. */
type Case = readonly [title: string, payload: string, persisted: string | undefined, answer: Answer, more?: More]

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
const cases: readonly Case[] = [
  // Asynchronous: only what found no capacity is complained of.
  ['async: taken', pushOf(['t'], false), 'pending', ok],
  ['async: many taken', pushOf(many(1_000, 't'), false), 'pending', ok],
  ['async: wait_for_send absent', one('d'), 'pending', ok],
  ['async: wait_for_send null', '{"records":[{"topic":"t","data":"d"}],"wait_for_send":null}', 'pending', ok],
  ['async: arrays', '[[["d","t","k",0]],false]', 'pending', ok],
  ['async: no records', pushOf([], false), 'yes', ok],
  ['async: fails later', pushOf(['missing', 'in-doubt'], false), 'pending', ok],
  ['async: all full', pushOf(['full', 'full'], false), 'no', failed('queueFull', 'queueFull')],
  ['async: partly full', pushOf(['t', 'full', 't'], false), 'pnp', failed(undefined, 'queueFull', undefined)],
  ['async: leaving', pushOf(['leaving'], false), 'no', failed('leaving')],
  ['async: invalid topic is hidden', pushOf(['invalid', 't'], false), 'np', ok],
  ['async: invalid topic beside a full one', pushOf(['invalid', 'full'], false), 'no', failed(undefined, 'queueFull')],
  ['async: too large is hidden', one(LARGE), 'no', ok, { settings: { messageMaxBytes: 1_000 } }],
  [
    'async: full is hidden by whenFull: drop',
    pushOf(['t', 'full'], false),
    'pn',
    ok,
    { settings: { whenFull: 'drop' } }
  ],
  // Synchronous: one entry per record as soon as one of them failed.
  ['sync: delivered', pushOf(['t'], true), 'yes', ok],
  ['sync: many delivered', pushOf(many(1_000, 't'), true), 'yes', ok],
  ['sync: arrays', '[[["d","t",null,null]],true]', 'yes', ok],
  ['sync: no records', pushOf([], true), 'yes', ok],
  ['sync: all failed', pushOf(['missing', 'no-partition'], true), 'no', failed('unknownTopic', 'unknownPartition')],
  ['sync: partly failed', pushOf(['t', 'missing', 't'], true), 'yny', failed(undefined, 'unknownTopic', undefined)],
  ['sync: one in doubt', pushOf(['in-doubt'], true), 'unknown', failed('timedOut')],
  ['sync: time-outs', pushOf(['t', 'withdrawn', 'in-doubt'], true), 'ynu', failed(undefined, 'timedOut', 'timedOut')],
  ['sync: full', pushOf(['full'], true), 'no', failed('queueFull')],
  ['sync: leaving', pushOf(['leaving'], true), 'no', failed('leaving')],
  ['sync: invalid topic', pushOf(['t', 'invalid'], true), 'yn', failed(undefined, 'invalidTopic')],
  ['sync: refused from memory', pushOf(['seen-missing'], true), 'no', failed('unknownTopic')],
  [
    'sync: too large',
    JSON.stringify({
      records: [
        { topic: 't', data: 'd' },
        { topic: 't', data: LARGE }
      ],
      wait_for_send: true
    }),
    'yn',
    failed(undefined, 'tooLarge'),
    { settings: { messageMaxBytes: 1_000 } }
  ],
  [
    'sync: all too large',
    JSON.stringify({ records: [{ topic: 't', data: LARGE }], wait_for_send: true }),
    'no',
    failed('tooLarge'),
    { settings: { messageMaxBytes: 1_000 } }
  ],
  // Paths, methods, content types.
  ['a slash behind', pushOf(['t'], true), 'yes', ok, { url: '/kprf/push/' }],
  ['a query', pushOf(['t'], true), 'yes', ok, { url: '/kprf/push?x=1' }],
  [
    'content type with parameter',
    one('d'),
    'pending',
    ok,
    { headers: { 'content-type': 'application/json; charset=utf-8' } }
  ],
  ['content type in upper case', one('d'), 'pending', ok, { headers: { 'content-type': 'APPLICATION/JSON' } }],
  ['content type with suffix', one('d'), 'pending', ok, { headers: { 'content-type': 'application/json+x' } }],
  ...['application/x-www-form-urlencoded', 'text/plain', 'application/vnd.api+json', ''].map(
    (type): Case => [
      `415 for content type "${type}"`,
      '{',
      'no',
      text(415, "The request's content-type is not supported"),
      { headers: { 'content-type': type }, warning: 'send the body with the header content-type: application/json' }
    ]
  ),
  ...(['GET', 'PUT', 'DELETE', 'OPTIONS'] as const).map(
    (method): Case => [`405 for ${method}`, '', undefined, text(405, 'HTTP method not allowed'), { method }]
  ),
  ...['/kprf/PUSH', '/kprf//push', '/kprf/push//', '/kprf/%70ush', '/kprf/'].map(
    (url): Case => [`404 for ${url}`, one('d'), undefined, { status: 404, body: '' }, { url }]
  ),
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
  ).map(([payload, reason]): Case => [`400 for ${payload || 'nothing'}`, payload, 'no', unreadable(reason)]),
  // Limits.
  [
    '413 for a large body',
    `{"records":[]${' '.repeat(60)}}`,
    'no',
    text(413, 'The request payload is too large'),
    { settings: { maxBodyBytes: 60 } }
  ],
  [
    '413 for many records',
    pushOf(
      Array.from({ length: 65_537 }, () => 't'),
      true
    ),
    'no',
    text(413, 'The request payload is too large')
  ],
  [
    '503 before the body is read',
    pushOf(['t'], true),
    'no',
    { ...failed('queueFull'), status: 503 },
    { prepare: app => app.addHook('onRequest', (_request, _reply, done) => done(new OverloadedError('made up'))) }
  ],
  [
    '503 in the middle of the body',
    pushOf(['t'], true),
    'no',
    { ...failed('queueFull'), status: 503 },
    {
      prepare: app =>
        app.addHook('preParsing', (_request, _reply, _payload, done) => {
          const counted = new PassThrough()
          done(null, counted)
          counted.destroy(new OverloadedError('made up'))
        })
    }
  ]
]

/** What a record beyond a rate limit changes; the limit of `slow` is 1, that of `shut` was reached before. */
const limited: readonly Case[] = [
  ['async: all dropped', pushOf(['shut'], false), 'no', ok],
  ['async: some dropped', pushOf(['t', 'shut', 't'], false), 'pnp', ok],
  ['async: the first passes', pushOf(['slow', 'slow'], false), 'pn', ok],
  [
    'async: dropped beside a full one',
    pushOf(['shut', 'full', 't'], false),
    'nnp',
    failed(undefined, 'queueFull', undefined)
  ],
  [
    'async: dropped beside one that is dropped when full',
    pushOf(['shut', 'full', 't'], false),
    'nnp',
    ok,
    { settings: { whenFull: 'drop' } }
  ],
  ['sync: all refused', pushOf(['shut', 'shut'], true), 'no', failed('ratelimit', 'ratelimit')],
  ['sync: the first passes', pushOf(['slow', 'slow'], true), 'yn', failed(undefined, 'ratelimit')],
  [
    'sync: refused between delivered ones',
    pushOf(['t', 'shut', 't'], true),
    'yny',
    failed(undefined, 'ratelimit', undefined)
  ],
  [
    'sync: every kind at once',
    pushOf(['shut', 't', 'missing', 'full', 'slow', 'in-doubt', 'slow'], true),
    'nynnyun',
    failed('ratelimit', undefined, 'unknownTopic', 'queueFull', undefined, 'timedOut', 'ratelimit')
  ],
  [
    'sync: beyond the limit and too large',
    JSON.stringify({
      records: [
        { topic: 'slow', data: LARGE },
        { topic: 'slow', data: LARGE },
        { topic: 't', data: 'd' }
      ],
      wait_for_send: true
    }),
    'nny',
    failed('tooLarge', 'ratelimit', undefined),
    { settings: { messageMaxBytes: 1_000 } }
  ]
]

const rules = (...topics: [string, number][]) => ({
  ratelimit: { enabled: true, rules: topics.map(([topic, maxPerMinute]) => ({ topic, maxPerMinute })) }
})

async function expectAnswer([, payload, persisted, expected, more = {}]: Case, limits: object): Promise<void> {
  const { method = 'POST', url = '/kprf/push', headers = asJson, settings, prepare, warning } = more
  const served = await serve({
    verbs: createGateway(),
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
    }).to.deep.equal(expected)
    expect(answer.headers['x-castellan-persisted'], 'x-castellan-persisted').to.equal(persisted)
    const told = answer.headers['x-castellan-warning']
    // What it says where kprf's words do not: warnings.socket.test.ts.
    if (warning !== undefined || answer.statusCode < 400) expect(told).to.equal(warning)
    else expect(told ?? 'nothing').to.match(/^[\x20-\x7e]{1,600}$/)
  } finally {
    await served.app.close()
  }
}

const answersAreRight = (rows: readonly Case[], limits: object): Promise<void> =>
  checkRows(
    rows,
    row => expectAnswer(row, limits),
    ([title]) => title
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
