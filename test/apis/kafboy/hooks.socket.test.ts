import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Edited, HookCalls, loadHooks } from '../../../src/apis/kafboy/hooks/hook-calls.js'
import type {
  KafboyAnswer,
  KafboyDecision,
  KafboyHooks,
  KafboyProducer,
  KafboyRequest
} from '../../../src/apis/kafboy/hooks/hooks.js'
import { silentLogger } from '../../../src/core/model.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'
import { checkRows } from '../../support/rows.js'
import { turns } from '../../support/ticks.js'
import { brief, type Served, serve, serveInOrder, taken } from './stage.js'

/** A hook may be written without types. */
const anything = (value: unknown): KafboyDecision => value as KafboyDecision
const good: KafboyDecision = { produce: { data: 'good' } }

type EditJson = NonNullable<KafboyHooks['editJson']>

/** The first field of a form names the decision. */
const byField =
  (decisions: Record<string, KafboyDecision>): EditJson =>
  ({ body }) =>
    decisions[body[0]?.[0] ?? ''] ?? { produce: {} }

describe('kafboy: the decisions of a hook', () => {
  let served: Served
  const errors: string[] = []
  const onError: KafboyHooks['onError'] = ({ status, message }) => void errors.push(`${status} ${message}`)
  beforeEach(() => {
    errors.length = 0
  })
  afterEach(() => served?.close())

  it('kafboy 3: the example of the README is answered as it says', async () => {
    const readme = await loadHooks(new URL('./hooks/readme.ts', import.meta.url).pathname)
    served = await serve({ hooks: readme })
    expect(brief(await served.post('/batch/async/ekaf', 'test=a'))).to.equal('200 {"ok":"fast reply"}')
    expect(brief(await served.post('/batch/async/ekaf', 'hello=a'))).to.equal('200 {"ok":1}')
    expect(brief(await served.post('/batch/async/ekaf'))).to.equal('400 {"error":"ekaf.insufficient"}')
    expect(taken(served.verbs)).to.deep.equal(['ekaf {"extra":"true","test":"a"}', 'ekaf a'])
  })

  const pairs = [
    { key: 'k', value: 'v' },
    { key: null, value: null }
  ]
  const table: [name: string, decision: KafboyDecision, path: string, answer: string, records?: string[]][] = [
    ['the body as it is', { produce: {} }, '/async/t', '200 {"ok":1}', ['t {"a":"1"}']],
    ['the body as it is', { produce: {} }, '/sync/t', '200 [{"ok":true}]', ['t {"a":"1"}']],
    ['another topic', { produce: { topic: 'u' } }, '/sync/t', '200 [{"ok":true}]', ['u {"a":"1"}']],
    ['a text', { produce: { data: 'text' } }, '/async/t', '200 {"ok":1}', ['t text']],
    ['an empty text', { produce: { data: '' } }, '/async/t', '200 {"ok":1}', ['t ']],
    ['bytes', { produce: { data: Uint8Array.of(0, 255) } }, '/sync/t', '200 [{"ok":true}]', ['t \0\ufffd']],
    ['a list', { produce: { data: ['a', 'b'] } }, '/sync/t', '200 [{"ok":true}]', ['t a', 't b']],
    ['a key', { produce: { data: pairs[0]! } }, '/sync/t', '200 []', ['t k=v']],
    ['keys and none', { produce: { data: pairs } }, '/sync/t', '200 []', ['t k=v', 't null']],
    ['another mode', { produce: { data: 'x', mode: 'sync' } }, '/async/t', '200 [{"ok":true}]', ['t x']],
    ['the mode of batches', { produce: { data: 'x', mode: 'batchAsync' } }, '/sync/t', '200 {"ok":1}', ['t x']],
    ['an answer', { status: 200, body: '{"not":"produced"}' }, '/sync/t', '200 {"not":"produced"}'],
    ['an answer of bytes', { status: 200, body: Buffer.from('bytes') }, '/sync/t', '200 bytes'],
    ['an answer of JSON', { status: 200, body: { a: 1 } }, '/sync/t', '200 {"a":1}'],
    ['both', { status: 200, body: 'soon', produce: { data: 'x' } }, '/sync/t', '200 soon', ['t x']],
    ['an answer and no record', { status: 200, body: 'soon', produce: { data: [] } }, '/sync/t', '200 soon'],
    ['an error', { error: 'no "quotes"\n' }, '/async/t', '400 {"error":"no \\"quotes\\"\\n"}'],
    ['an error that is no text', anything({ error: 5 }), '/async/t', '400 {"error":"unknown"}'],
    ['a topic and an error', anything({ topic: 'u', error: 'no' }), '/async/t', '400 {"error":"no"}'],
    ['nothing at all', [], '/async/t', '400 {"error":"empty"}'],
    ['no record', { produce: { data: [] } }, '/async/t', '400 {"error":"empty"}'],
    ['another status', anything({ status: 201, body: '{}' }), '/async/t', '400 {"error":"unexp"}'],
    ['a number', anything(42), '/async/t', '400 {"error":"unexp"}'],
    ['a function', anything(() => good), '/async/t', '400 {"error":"unexp"}'],
    ['no decision', anything({}), '/async/t', '400 {"error":"unexp"}'],
    ['a list with something', anything([1]), '/async/t', '400 {"error":"unexp"}'],
    ['a topic that is no text', anything({ produce: { topic: 5 } }), '/async/t', '400 {"error":"unexp"}'],
    ['an unknown mode', anything({ produce: { mode: 'fast' } }), '/async/t', '400 {"error":"unexp"}'],
    ['no records', anything({ produce: { data: [5] } }), '/async/t', '400 {"error":"unexp"}'],
    ['an answer with no records', anything({ status: 200, body: '', produce: 5 }), '/t', '400 {"error":"unexp"}'],
    [
      'what is only inherited',
      anything(JSON.parse('{"__proto__":{"produce":{"data":"x"}}}')),
      '/async/t',
      '400 {"error":"unexp"}'
    ]
  ]
  for (const [how, asHook] of [
    ['returned', decision => () => decision],
    ['promised', decision => async () => decision],
    ['given', decision => (_request: KafboyRequest, answer: KafboyAnswer) => answer(decision)]
  ] as [string, (decision: KafboyDecision) => EditJson][]) {
    it(`kafboy 4, 18: each decision that is ${how} has its answer and its records`, () =>
      checkRows(table, async ([, decision, path, expected, records = []]) => {
        errors.length = 0
        served = await serve({ hooks: { editJson: asHook(decision), onError } })
        try {
          const answer = await served.post(path === '/t' ? '/async/t' : path, 'a=1')
          expect(brief(answer)).to.equal(expected)
          expect(taken(served.verbs)).to.deep.equal(records)
          expect(errors).to.have.length(answer.status === 400 ? 1 : 0)
        } finally {
          await served.close()
        }
      }))
  }

  it('kafboy 5: the hook for errors is told of a 400 before it is sent', async () => {
    served = await serve({ hooks: { editJson: () => [], onError } })
    for (const [method, body] of [
      ['POST', 'a=1'],
      ['GET', undefined],
      ['PUT', undefined],
      ['POST', '=x'],
      ['POST', 'x'.repeat(64_001)]
    ] as const) {
      expect((await served.ask(method, '/async/t', body)).status).to.equal(400)
    }
    expect(errors).to.deep.equal(['400 empty', '400 POST exp', '400 unexp', '400 invalid', '400 no_body'])
  })

  it('a hook sees the request as it came', async () => {
    let seen: KafboyRequest | undefined
    served = await serve({
      hooks: {
        editJson(request) {
          seen = request
          return { status: 200, body: '' }
        }
      }
    })
    await served.post('/batch/sync/a%20b?x=%2F&y', 'a=1&b', { 'X-Tag': 'one, two', 'content-type': 'text/csv' })
    const { req, rawBody, ...others } = seen!
    expect(others).to.deep.equal({
      type: 'post',
      topic: 'a b',
      mode: 'batchSync',
      body: [
        ['a', '1'],
        ['b', true]
      ],
      json: undefined
    })
    expect(String(rawBody)).to.equal('a=1&b')
    expect(req).to.deep.include({
      requestId: 'made-up',
      method: 'POST',
      url: '/kafboy/batch/sync/a%20b?x=%2F&y',
      remoteAddress: '127.0.0.1'
    })
    expect(req.headers).to.include({ 'content-type': 'text/csv', 'x-tag': 'one, two' })
    const json = '{ "n": 9007199254740993, "__proto__": 2 }'
    await served.postJson('/sync/t', json)
    expect([seen!.body, String(seen!.rawBody)]).to.deep.equal([Object.entries(JSON.parse(json)), json])
    await served.postJson('/sync/t', '[1]')
    expect([seen!.body, seen!.json]).to.deep.equal([[], [1]])
    await served.postJson('/sync/t', '')
    expect([seen!.body, seen!.json]).to.deep.equal([[], undefined])
  })

  it('JSON that a hook leaves as it is passes byte for byte, and text that is none is 400 invalid', async () => {
    served = await serve({ hooks: { editJson: async () => ({ produce: {} }) } })
    const body = '{ "unchanged": 9007199254740993 }'
    expect(brief(await served.postJson('/sync/t', body))).to.equal('200 [{"ok":true}]')
    expect(taken(served.verbs)).to.deep.equal([`t ${body}`])
    for (const bad of ['{"a":', Buffer.from('"\xff"', 'latin1')]) {
      expect(brief(await served.postJson('/sync/t', bad))).to.equal('400 {"error":"invalid"}')
    }
    expect(brief(await served.post('/sync/t', 'a=%FF'))).to.equal('400 {"error":"invalid"}')
  })

  it('records with keys are answered as such, whether a hook or the form made them', async () => {
    const editJson = byField({ text: { produce: { data: 'text' } } })
    served = await serve({ hooks: { editJson }, settings: { payload: 'fields' } })
    expect(brief(await served.post('/sync/t', 'other'))).to.equal('200 []')
    expect(brief(await served.post('/sync/t', 'text'))).to.equal('200 [{"ok":true}]')
  })

  it('of an answer of its own nothing is known, unless something is produced beside it', async () => {
    const hooks: KafboyHooks = {
      editJson: byField({
        alone: { status: 200, body: '' },
        beside: { status: 200, body: '', produce: { data: 'x' } }
      })
    }
    const persisted = async (field: string) => (await served.post('/sync/t', field)).headers['x-castellan-persisted']
    served = await serve({ hooks })
    expect([await persisted('alone'), await persisted('beside')]).to.deep.equal(['unknown', 'pending'])
    expect(served.verbs.calls.map(({ options: { deadlineMs } }) => deadlineMs)).to.deep.equal([120_000])
    await served.close()
    served = await serve({ hooks, verbs: new FakeVerbs({ refuse: () => failure('overloaded') }) })
    expect(await persisted('beside')).to.equal('no')
  })

  it('records of a hook that decides late come before those of the next request of the connection', async () => {
    const late: KafboyAnswer[] = []
    const editJson: EditJson = ({ topic }, answer) => {
      if (topic === 'next') return { produce: {} }
      late.push(answer)
      return undefined
    }
    const { verbs, started } = await serveInOrder({ editJson })
    const client = await RawSocket.open(started.http.urls.shared)
    const post = (topic: string): string =>
      `POST /loud/async/${topic} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\n\r\na`
    await client.send(post('late'))
    while (late.length === 0) await turns(1)
    await client.send(post('next'))
    await turns(20)
    late[0]!({ produce: {} })
    await client.until(() => client.answers === 2)
    expect(verbs.records.map(({ topic }) => topic)).to.deep.equal(['late', 'next'])
    client.destroy()
    await started.http.close()
  })

  it('what a request waits for its hook is part of its time for Kafka, and what it waits for the one before it is not', async () => {
    const late: KafboyAnswer[] = []
    const editJson: EditJson = ({ topic }, answer) => {
      if (topic === 'next') return { produce: {} }
      late.push(answer)
      return undefined
    }
    const { verbs, started } = await serveInOrder({ editJson })
    const client = await RawSocket.open(started.http.urls.shared)
    const post = (topic: string): string =>
      `POST /loud/sync/${topic} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\n\r\na`
    await client.send(post('first') + post('next'))
    while (late.length === 0) await turns(1)
    await turns(20)
    late[0]!({ produce: {} })
    await client.until(() => client.answers === 2)
    const [first, next] = verbs.calls.map(({ options }) => options.deadlineMs)
    expect(first).to.be.within(1, 4_999.999)
    expect(next).to.equal(5_000)
    client.destroy()
    await started.http.close()
  })

  it('ekaf 4: a hook can ask what is known of a topic, and produce by itself', async () => {
    const verbs = new FakeVerbs({
      outcome: ({ value }) => (value === 'no' ? failure('recordTooLarge') : delivered(0, 7))
    })
    verbs.partitions.set('t', 2)
    verbs.leaderless.add('t/1')
    const said: unknown[] = []
    const produce = async (ekaf: KafboyProducer): Promise<KafboyDecision> => {
      said.push(await ekaf.info('t'), await ekaf.info('nowhere'))
      said.push(await ekaf.produceSync('t', ['yes', 'no']), await ekaf.produceSync('t', []))
      ekaf.produceAsync('t', { key: 'k', value: 'v' })
      ekaf.produceAsyncBatched('t', 'x')
      for (const call of [() => ekaf.produceSync('t', 5 as never), () => ekaf.info(5 as never)]) {
        said.push(await call().catch((error: Error) => error.message))
      }
      return { status: 200, body: 'done' }
    }
    served = await serve({ verbs, hooks: { editJson: (_request, _answer, ekaf) => produce(ekaf) } })
    expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('200 done')
    expect(said).to.deep.equal([
      {
        topic: 't',
        bufferedRecords: 0,
        workers: [
          { partition: 0, leaderId: 1, isUp: true },
          { partition: 1, leaderId: -1, isUp: false }
        ]
      },
      undefined,
      [
        { type: 'sent', partition: 0, offset: 7 },
        { type: 'failed', error: 10 }
      ],
      [],
      'ekaf takes a topic and records',
      'ekaf.info takes the name of a topic'
    ])
    expect(taken(verbs)).to.deep.equal(['t yes', 't no', 't k=v', 't x'])
  })
})

describe('kafboy: a hook that misbehaves', () => {
  let served: Served
  afterEach(() => served.close())

  const recurse = (depth: number): number => recurse(depth + 1) + 1
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const getter = {
    get produce() {
      throw new Error('on purpose')
    }
  }
  const twice = (resolve: (decision: unknown) => void): void => {
    resolve(good)
    resolve({ error: 'second' })
  }
  const thrown = (error: unknown): never => {
    throw error
  }
  const GOOD = '200 {"ok":1}'
  const table: [what: string, answer: string, problem: string | undefined, hook: EditJson][] = [
    ['throws', '500', 'threw', () => thrown(new Error('on purpose'))],
    ['throws nothing', '500', 'threw', () => thrown(undefined)],
    ['throws what is no text', '500', 'threw', () => thrown(Object.create(null))],
    ['rejects', '500', 'threw', async () => thrown(new Error('on purpose'))],
    ['recurses', '500', 'threw', () => anything(recurse(0))],
    ['returns a getter that throws', '500', 'threw', () => anything(getter)],
    ['answers what is no JSON', '500', 'threw', () => ({ status: 200, body: circular })],
    [
      'produces what is no record',
      '500',
      'threw',
      (_request, _answer, ekaf) => {
        ekaf.produceAsync('t', 5 as never)
        return good
      }
    ],
    [
      'decides twice',
      GOOD,
      'twice',
      (_request, answer) => {
        answer(good)
        return { error: 'second' }
      }
    ],
    [
      'fails after its decision',
      GOOD,
      'twice',
      async (_request, answer) => {
        answer(good)
        throw new Error('on purpose')
      }
    ],
    ['resolves twice', GOOD, 'twice', () => anything(Object.fromEntries([['then', twice]]))],
    [
      'changes what it has given',
      GOOD,
      undefined,
      (_request, answer) => {
        const value = Buffer.from('good')
        const list = [value]
        answer({ produce: { data: list } })
        value.fill('x')
        list.push(Buffer.from('more'))
        return undefined
      }
    ]
  ]
  for (const [what, expected, problem, misbehave] of table) {
    it(`kafboy 8: a hook that ${what} costs its own request only: ${expected}`, async () => {
      served = await serve({ hooks: { editJson: (...call) => (call[0].topic === 't' ? misbehave(...call) : good) } })
      const answers = await Promise.all([served.post('/async/t', 'a=1'), served.post('/sync/other', 'a=1')])
      expect(answers.map(brief)).to.deep.equal([expected, '200 [{"ok":true}]'])
      if (expected === '500') expect(answers[0].headers['x-castellan-persisted']).to.equal('unknown')
      expect(taken(served.verbs).sort()).to.deep.equal(expected === GOOD ? ['other good', 't good'] : ['other good'])
      const counted = await served.counted()
      expect(counted.filter(line => line.includes('problem'))).to.deep.equal(
        problem === undefined ? [] : [`kafboy_hook_problems_total{problem="${problem}"} 1`]
      )
      expect(counted).to.include('kafboy_hook_calls_pending 0')
    })
  }

  it('kafboy 8: one that never settles is answered 504 when its time is over, and a late decision is dropped', async () => {
    let decideLate: () => void = () => expect.fail('no request')
    served = await serve({
      settings: { callbackTimeoutMs: 20 },
      hooks: {
        editJson({ topic }, answer) {
          if (topic === 'promise') return new Promise(() => {})
          if (topic === 'answer') decideLate = () => answer(good)
          return topic === 'other' ? good : undefined
        }
      }
    })
    const stuck = ['/async/promise', '/async/answer'].map(path => served.post(path, 'a=1'))
    expect(brief(await served.post('/sync/other', 'a=1'))).to.equal('200 [{"ok":true}]')
    for (const answer of await Promise.all(stuck)) {
      expect(brief(answer)).to.equal('504 {"error":"timeout"}')
      expect(answer.headers['x-castellan-persisted']).to.equal('unknown')
    }
    decideLate()
    expect(taken(served.verbs)).to.deep.equal(['other good'])
    expect((await served.counted()).filter(line => line.includes('problem'))).to.have.members([
      'kafboy_hook_problems_total{problem="timedOut"} 2',
      'kafboy_hook_problems_total{problem="late"} 1'
    ])
  })

  it('a hook for errors that fails changes no answer', async () => {
    for (const onError of [() => thrown(new Error('on purpose')), async () => thrown(new Error('on purpose'))]) {
      served = await serve({ hooks: { onError } })
      expect(brief(await served.ask('GET', '/async/t'))).to.equal('400 {"error":"POST exp"}')
      expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('200 [{"ok":true}]')
      expect(await served.counted()).to.include('kafboy_hook_problems_total{problem="stray"} 1')
      await served.close()
    }
  })

  it('requests that wait for a hook end when the process stops', async () => {
    served = await serve({ hooks: { editJson: () => undefined }, settings: { callbackTimeoutMs: 60_000 } })
    const waiting = served.post('/async/t', 'a=1')
    while (!(await served.counted()).includes('kafboy_hook_calls_pending 1')) await new Promise(setImmediate)
    await served.stop()
    expect(brief(await waiting)).to.equal('500')
  })

  it('requests that wait for a hook are bounded', () => {
    const edited: Edited['type'][] = []
    const problems: string[] = []
    const deps = { timeoutMs: 60_000, log: silentLogger, onProblem: (problem: string) => problems.push(problem) }
    const calls = new HookCalls({ editJson: () => undefined }, deps)
    for (let i = 0; i <= 10_000; i++) calls.edit({} as never, {} as never, ({ type }) => edited.push(type))
    expect([edited, problems, calls.openRequests]).to.deep.equal([['overloaded'], ['overloaded'], 10_000])
    calls.close()
    expect([edited.length, new Set(edited), calls.openRequests]).to.deep.equal([
      10_001,
      new Set(['overloaded', 'threw']),
      0
    ])
  })
})

describe('kafboy: the module of hooks', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kafboy-modules-'))
  after(() => rmSync(folder, { recursive: true }))

  const unusable: [content: string, expected: RegExp][] = [
    ['export const a = 1', /it has no default export/],
    ['export default { editJSON() {} }', /it exports "editJSON"; there are editJson, onError/],
    ['export default { editJson: 5 }', /its editJson is no function/],
    ['throw new Error("on purpose")', /on purpose$/],
    ['throw undefined', /undefined$/],
    [
      'export default {\n  editJson() {}\n  onError() {}\n}\n',
      /Unexpected identifier.*; run node \S+\.mjs to see where$/
    ],
    ['await new Promise(() => {})', /it was not loaded within 0.05 s; is there an await at its top that never ends\?$/]
  ]
  for (const [index, [content, expected]] of unusable.entries()) {
    it(`a module is refused at the start with one line that names its problem: ${content.split('\n')[0]}`, async () => {
      const file = join(folder, `${index}.mjs`)
      writeFileSync(file, content)
      const error = await loadHooks(file, content.startsWith('await') ? 50 : 60_000).catch((error: Error) => error)
      expect((error as Error).message).to.match(/^apis\.kafboy\.callbackEditJson: the module cannot be used: /)
      expect((error as Error).message).to.match(expected)
    })
  }
})
