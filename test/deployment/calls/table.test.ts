import { expect } from 'chai'
import { groupBy } from '../../../src/core/maps.js'
import type { Call } from '../../../src/deployment/calls/call.js'
import { CALLS } from '../../../src/deployment/calls/table.js'

/** Some questions and some answers of each call; the answers are all to the first question. */
type SamplesOf<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends Call<infer Question, infer Answer>
    ? { readonly questions: readonly Question[]; readonly answers: readonly Answer[] }
    : SamplesOf<Table[Name]>
}
type AnyCall = Call<unknown, unknown>
interface AnySamples {
  readonly questions: readonly unknown[]
  readonly answers: readonly unknown[]
}

/** In samples, a number that may be so large is. */
const LARGE = 2 ** 31
const BYTES = Buffer.from('bytes')

const failed = { type: 'failed', errorCode: 29, code: 'kafka', message: 'no', retriable: true, setting: 'a.b' } as const
const ownFailed = { type: 'failed', errorCode: undefined, code: 'overloaded', message: 'no', retriable: true } as const
const place = { topic: 'orders', partition: 1 }
const headers = [
  { key: 'one', value: BYTES },
  { key: 'two', value: null }
]
const record = { ...place, key: BYTES, value: BYTES, headers, offset: LARGE, timestampMs: LARGE }
const ofNulls = { ...record, key: null, value: null }

const attempt = { number: 'one', isPassedOn: true, isRepeated: false }
const instance = { groupId: 'billing', name: 'one', principal: 'ann', api: 'strimzi', attempt }
const unnumbered = { groupId: 'billing', name: 'one', attempt: { isPassedOn: true, isRepeated: false } }
const bare = { groupId: 'billing', name: 'one' }
const settings = {
  api: 'strimzi',
  format: 'binary',
  start: 'latest',
  autoCommitMs: 5,
  minBytes: LARGE,
  maxWaitMs: 5,
  maxBytes: LARGE,
  idleMs: 5
} as const
const shortSettings = { ...settings, autoCommitMs: undefined, minBytes: undefined, idleMs: undefined }
const done = <Value>(value: Value) => ({ type: 'done', value, number: 'two' }) as const
/** Results of any verb of instances, beside `done`. */
const others = [
  { type: 'unknownInstance' },
  { type: 'illegalState', message: 'no' },
  { type: 'otherFormat', format: 'json' },
  failed,
  ownFailed,
  { type: 'timedOut', reason: 'slow' },
  { type: 'timedOut' }
] as const
const offset = { ...place, offset: LARGE, metadata: 'm' }
const onInstance = [[instance], [unnumbered], [bare]] as [typeof instance][]

const onPlaces = [instance, unnumbered, bare].map(one => [one, [place]] as [typeof instance, (typeof place)[]])

const receiptFound = { type: 'found', count: LARGE, from: LARGE - 6, isSettled: false } as const
const keyed = {
  route: 'produce',
  params: { topic: 'orders' },
  method: 'POST',
  url: '/orders',
  sentUrl: '/orders',
  originalUrl: '/api/orders',
  headers: { host: 'here', 'set-cookie': ['a'] },
  rawHeaders: ['Host', 'here'],
  recordHeaders: headers,
  body: BYTES,
  asked: { hash: 'abcd', fingerprint: 'ef' },
  requestId: 'one',
  principal: 'ann',
  address: '127.0.0.1',
  waitMs: 5
}
const { originalUrl: _, ...keyedAtOwnPort } = keyed
const envelope = { list: 'digest', by: 'a', to: 'b' }
const written = { status: 200, headers: [['etag', '1']] as const, body: BYTES }
const amounts = { records: LARGE, bytes: LARGE }

const acquired = { ...record, groupId: 'billing', topicId: 'id', serial: LARGE, firstSerial: LARGE, retries: 0 }
const { topicId: __, ...acquiredOfAny } = { ...acquired, key: null, value: null }
const asked = {
  id: LARGE,
  topic: ['billing', 'orders'],
  maxMessages: LARGE,
  maxBytes: LARGE,
  maxMessageBytes: LARGE
} as const

const oldest = { offset: LARGE, timestampMs: LARGE, key: BYTES, attempts: LARGE, nextAttemptAt: LARGE }
const read = { partition: 1, position: LARGE, open: LARGE, parked: LARGE, oldest, isStalled: false }
const note = { id: 'one', partition: 1, offset: LARGE, attempt: LARGE, answer: 200, ms: LARGE, at: LARGE } as const
const status = {
  name: 'orders',
  cluster: 'default',
  topic: 'orders',
  group: 'castellan-webhook-orders',
  origin: 'https://shop',
  state: 'broken',
  because: 'no topic',
  failingSince: LARGE,
  deadLettersStopped: false,
  foreignMember: false,
  sendsAborted: false,
  partitions: [read, { ...read, oldest: { ...oldest, key: null, nextAttemptAt: undefined } }],
  inFlight: LARGE,
  window: LARGE,
  pausedUntil: LARGE,
  attempts: [note, { ...note, answer: 'late' }],
  totals: {
    requests: new Map([['2xx', LARGE] as const]),
    deadLetters: LARGE,
    skipped: LARGE,
    lost: LARGE,
    headersLeftOut: LARGE
  },
  retentionMs: LARGE
} as const
const calmStatus = {
  ...status,
  because: undefined,
  failingSince: undefined,
  pausedUntil: undefined,
  retentionMs: undefined,
  partitions: [
    { ...read, oldest: { ...oldest, key: undefined } },
    { ...read, oldest: undefined }
  ]
}
const readBy = { name: 'orders', cluster: 'default', topic: 'orders' }

const SAMPLES: SamplesOf<typeof CALLS> = {
  receipt: {
    questions: [
      { id: 'one', principals: ['ann'], waitMs: 5, from: LARGE, most: LARGE, client: 'ann', isPart: true },
      { id: 'one', principals: ['ann'] }
    ],
    answers: [
      {
        reply: {
          ...receiptFound,
          records: [
            { state: 'waiting', topic: 'orders', sinceMs: LARGE, why: 'slow' },
            { state: 'inKafka', ...place, offset: LARGE, timestampMs: LARGE },
            { state: 'deadLetter', topic: 'orders', code: 'c', why: 'w' },
            { state: 'lost', topic: 'orders', why: 'w' },
            { state: 'unknown', why: 'w' },
            { state: 'waiting', why: 'slow' }
          ]
        }
      },
      { reply: { ...receiptFound, records: [{ state: 'lost', why: 'w' }] } },
      { reply: { ...receiptFound, records: [{ state: 'refused' }] } },
      { reply: { type: 'notFound' } },
      { reply: { type: 'expired' } },
      { reply: { type: 'unreachable' } },
      { reply: { type: 'former' } },
      {}
    ]
  },
  acks: {
    questions: [
      [{ ...place, groupId: 'billing', offset: LARGE, topicId: 'id' }],
      [{ ...place, groupId: 'billing', offset: LARGE }]
    ],
    answers: [
      [{ type: 'acked' }],
      [{ type: 'notOffered' }],
      [{ type: 'notRead', reason: 'no', topicId: 'id' }],
      [{ type: 'notRead' }],
      [failed],
      [ownFailed]
    ]
  },
  lagGroups: { questions: [undefined], answers: [new Map([['default', ['billing']]])] },
  queues: {
    settle: {
      questions: [['orders', 'g', { accept: ['a'], release: ['b'], reject: ['c'], renew: ['d'], delayMs: 5 }, 'ann']],
      answers: [
        [{ token: 'a', outcome: 'failed', reason: 'no', code: 1, lockMs: LARGE }],
        [{ token: 'a', outcome: 'done' }]
      ]
    },
    holder: { questions: [{}], answers: ['a1b2'] },
    configured: { questions: [['orders', 'g']], answers: [undefined] }
  },
  instances: {
    create: {
      questions: [
        [instance, settings, 'ann'],
        [unnumbered, shortSettings, undefined],
        [bare, shortSettings, undefined]
      ],
      answers: [done(true), { type: 'done', value: false }, ...others]
    },
    settingsOf: { questions: onInstance, answers: [done(settings), done(shortSettings), ...others] },
    remove: { questions: onInstance, answers: [done(undefined), ...others] },
    subscription: { questions: onInstance, answers: [done(['orders']), ...others] },
    unsubscribe: { questions: onInstance, answers: [done(undefined), ...others] },
    assign: { questions: onPlaces, answers: [done(undefined), ...others] },
    assignment: { questions: onInstance, answers: [done([place]), ...others] },
    describe: {
      questions: onInstance,
      answers: [done({ subscription: ['orders'], assignment: [place] }), ...others]
    },
    seek: {
      questions: [
        [instance, [{ ...place, position: LARGE }]],
        [unnumbered, [{ ...place, position: 'beginning' }]],
        [bare, [{ ...place, position: { timestampMs: LARGE } }]]
      ],
      answers: [done(undefined), ...others]
    },
    commit: {
      questions: [
        [instance, [offset]],
        [unnumbered, 'accepted'],
        [bare, 'accepted']
      ],
      answers: [done(undefined), ...others]
    },
    committed: { questions: onPlaces, answers: [done([offset]), ...others] },
    subscribe: {
      questions: [
        { instance, topics: { topics: ['orders'] }, allowed: ['orders'] },
        { instance: unnumbered, topics: { pattern: 'o.*' }, allowed: undefined },
        { instance: bare, topics: { topics: [] }, allowed: [] }
      ],
      answers: [done(undefined), ...others]
    },
    read: {
      questions: [
        { instance, id: LARGE, limits: { timeoutMs: 5, maxBytes: LARGE, formats: ['binary'] } },
        { instance: unnumbered, id: LARGE, limits: { timeoutMs: undefined, maxBytes: undefined } },
        { instance: bare, id: LARGE, limits: {} as { timeoutMs: undefined; maxBytes: undefined } }
      ],
      answers: [
        done({ records: [record, ofNulls], format: 'binary', waitMs: LARGE }),
        done({ records: [ofNulls] }),
        ...others
      ]
    },
    settle: { questions: [{ id: LARGE, accepted: LARGE }], answers: [undefined] },
    release: { questions: [instance, unnumbered, bare], answers: [true, 'two'] }
  },
  keys: {
    sharing: { questions: [{}], answers: ['shared', 'alone', 'refused'] },
    ending: { questions: [{}], answers: [undefined] },
    request: {
      questions: [
        { ...envelope, request: keyed },
        { ...envelope, request: { ...keyedAtOwnPort, params: {}, headers: {} } }
      ],
      answers: [
        { answer: { ...written, lines: 'etag: 1\r\n', persisted: 'yes' }, failure: 'kafka', ...amounts },
        { answer: written, ...amounts },
        { answer: { status: 200, body: BYTES, lines: 'etag: 1\r\n' }, ...amounts }
      ]
    }
  },
  lending: {
    want: { questions: [BYTES], answers: [undefined] },
    offer: { questions: [[{ topic: ['billing', 'orders'], bytes: LARGE }]], answers: [['take'], ['later'], ['none']] },
    take: {
      questions: [[asked]],
      answers: [
        [
          {
            messages: [acquired, acquiredOfAny],
            topicIds: new Map([
              [1, 'id'],
              [2, undefined]
            ])
          }
        ],
        [{ messages: [acquired] }]
      ]
    },
    settle: {
      questions: [{ had: [LARGE], acknowledged: [LARGE], delivered: [LARGE], returned: [LARGE] }],
      answers: [undefined]
    }
  },
  webhooks: {
    status: { questions: [undefined, 'orders'], answers: [[status, calmStatus]] },
    skip: {
      questions: [{ ...readBy, partition: 1, offset: LARGE }],
      answers: [
        { type: 'skipped' },
        { type: 'notAtHand' },
        { type: 'unknownWebhook' },
        { type: 'notWritten', message: 'no' }
      ]
    },
    test: {
      questions: [readBy],
      answers: [
        { type: 'sent', id: 'one', answer: { kind: 'status', status: 200, retryAfterMs: LARGE }, ms: LARGE },
        { type: 'sent', id: 'one', answer: { kind: 'status', status: 200, retryAfterMs: undefined }, ms: LARGE },
        { type: 'sent', id: 'one', answer: { kind: 'late', message: 'no' }, ms: LARGE },
        { type: 'unknownWebhook' },
        { type: 'tooSoon', retryAfterMs: LARGE }
      ]
    },
    resume: { questions: [readBy], answers: [{ type: 'resumed' }, { type: 'notGone' }, { type: 'unknownWebhook' }] }
  }
}

const isCall = (one: object): one is AnyCall => 'maxBytes' in one

/** Each check of the table, with values that it takes. */
function checksIn(
  table: object,
  samples: object
): { name: string; fits: (value: unknown) => boolean; right: readonly unknown[] }[] {
  return Object.entries(table).flatMap(([name, one]) => {
    const of = (samples as Record<string, object>)[name]!
    if (!isCall(one)) return checksIn(one, of)
    const { questions, answers } = of as AnySamples
    return [
      { name: `the question of ${one.name}`, fits: one.question, right: questions },
      { name: `the answer of ${one.name}`, fits: value => one.answer(value, questions[0]), right: answers }
    ]
  })
}

type Path = readonly (string | number)[]

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)

/** All places in a value, and what is there. Of a Map, its values. */
function placesIn(value: unknown, path: Path = []): (readonly [Path, unknown])[] {
  const inner: Iterable<[string | number, unknown]> =
    value instanceof Map ? value : Array.isArray(value) ? value.entries() : isObject(value) ? Object.entries(value) : []
  return [[path, value], ...[...inner].flatMap(([at, one]) => placesIn(one, [...path, at]))]
}

/** A copy of `value` with another one at a place. */
function replaced(value: unknown, [at, ...rest]: Path, by: unknown): unknown {
  if (at === undefined) return by
  if (value instanceof Map)
    return new Map([...value].map(([key, one]) => [key, key === at ? replaced(one, rest, by) : one]))
  if (Array.isArray(value)) return value.map((one, nth) => (nth === at ? replaced(one, rest, by) : one))
  const object = value as Record<string, unknown>
  return { ...object, [at]: replaced(object[at], rest, by) }
}

const kindOf = (value: unknown): string => {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'list'
  if (typeof value === 'number') return Number.isFinite(value) ? (value >= LARGE ? 'large' : 'small') : 'no number'
  if (isObject(value)) return Object.keys(value).length === 0 && !(value instanceof Map) ? 'empty' : 'object'
  return ArrayBuffer.isView(value) ? 'bytes' : typeof value
}

/** A place without the numbers of its lists, whose members are all of one kind, but for tuples. */
const nameOf = (path: Path): string => path.map(at => (typeof at === 'number' ? '#' : at)).join('.')

const ODD: readonly unknown[] = [
  null,
  undefined,
  [],
  'text',
  {},
  LARGE,
  true,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  BYTES
]

let looks = 0
/** Is as long as 16 MiB, and counts how often a check looks into it. */
const large = <Of extends object>(target: Of): Of =>
  new Proxy(target, {
    get: (of, at) => {
      looks++
      return at === 'length' ? 16 * 1_048_576 : Reflect.get(of, at, of)
    }
  })
const LARGE_BYTES = large(Buffer.alloc(1))
const LARGE_LIST = large([])

describe('each call between gateways', () => {
  const checks = checksIn(CALLS, SAMPLES)

  it('has a name of its own, limits and a time', () => {
    const calls = Object.values(CALLS).flatMap((one): AnyCall[] => (isCall(one) ? [one] : Object.values(one as object)))
    expect(new Set(calls.map(({ name }) => name)).size).to.equal(calls.length)
    for (const { name, maxBytes, timeoutMs } of calls) {
      expect(Math.min(maxBytes.question, maxBytes.answer), name).to.be.within(1, 64 * 1_048_576)
      expect(timeoutMs, name).to.be.at.least(0)
    }
  })

  for (const { name, fits, right } of checks) {
    const places = right.flatMap(sample => placesIn(sample).map(([path, value]) => ({ sample, path, value })))

    it(`takes what is right in ${name}, and nothing else at any place of it`, () => {
      const kinds = groupBy(places, ({ path }) => nameOf(path))
      const isRight = (path: Path, odd: unknown): boolean => {
        const known = kinds.get(nameOf(path))!
        const owners = kinds.get(nameOf(path.slice(0, -1)))!
        // A member that a sample lacks may be `undefined`.
        const mayBeAbsent = path.length > 0 && known.length < owners.length
        return (odd === undefined && mayBeAbsent) || known.some(({ value }) => kindOf(value) === kindOf(odd))
      }
      for (const sample of right) {
        expect(fits(sample), JSON.stringify(sample)).to.equal(true)
        expect(fits(structuredClone(sample)), JSON.stringify(sample)).to.equal(true)
      }
      for (const { sample, path } of places) {
        for (const odd of ODD) {
          if (isRight(path, odd)) continue
          const value = replaced(sample, path, odd)
          expect(fits(value), `${nameOf(path)} as ${String(JSON.stringify(odd))}`).to.equal(false)
        }
      }
    })

    it(`neither copies nor walks through 16 MiB in ${name}`, () => {
      for (const { sample, path, value } of places) {
        const isBytes = kindOf(value) === 'bytes'
        looks = 0
        expect(fits(replaced(sample, path, isBytes ? LARGE_BYTES : LARGE_LIST)), nameOf(path)).to.equal(isBytes)
        expect(looks, nameOf(path)).to.be.at.most(10)
      }
    })
  }
})
