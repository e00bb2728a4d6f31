import { expect } from 'chai'
import {
  type HookCall,
  type HookReply,
  type PackedRecords,
  type PostedCall,
  packRecords,
  type ThreadMessage,
  unpackRecords
} from '../../../../src/apis/kafboy/hooks/hook-messages.js'
import { HookRunner } from '../../../../src/apis/kafboy/hooks/hook-runner.js'
import type {
  KafboyHooks,
  KafboyKeyedRecord,
  KafboyProducer,
  KafboyRequest
} from '../../../../src/apis/kafboy/hooks/hooks.js'

type Bytes = string | Uint8Array | null
type Replies = Extract<ThreadMessage, { readonly type: 'replies' }>

/** A runner whose messages are kept until somebody looks. Untyped hooks may return anything. */
function runnerOf(hooks: Record<string, unknown>, maxDecisionBytes = 10_000) {
  const sent: Replies[] = []
  const begun: number[] = []
  const runner = new HookRunner(hooks as KafboyHooks, {
    maxDecisionBytes,
    send: (message, transfer) => {
      sent.push(structuredClone(message as Replies, { transfer }))
    },
    begin: id => begun.push(id)
  })
  /** A call that edits takes one of the contents, its body; the last call takes the others, keys and values in turn. */
  const call = (items: readonly HookCall[], ...contents: readonly Bytes[]): void => {
    const left = [...contents]
    runner.receive(
      items.map(item => {
        const records: KafboyKeyedRecord[] = item.type === 'edit' ? [{ key: null, value: left.shift()! }] : []
        if (item.type === 'pick' || item.type === 'massage') {
          while (left.length > 0) records.push({ key: left.shift()!, value: left.shift()! })
        }
        return { ...item, records: packRecords(records) }
      })
    )
  }
  /** All replies so far, with the number of their records, and the keys and values of these. */
  const replies = async (): Promise<{ items: unknown[]; contents: (string | null)[] }> => {
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    const contents: (string | null)[] = []
    const items = sent.splice(0).flatMap(message => message.replies.map(reply => withCounts(reply, contents)))
    return { items, contents }
  }
  return { call, replies, sent, begun, runner }
}

function withCounts(reply: HookReply, contents: (string | null)[]): unknown {
  const count = (records: PackedRecords | undefined): number => {
    const unpacked = records === undefined ? undefined : unpackRecords(records)
    for (const { key, value } of unpacked ?? []) contents.push(key && String(key), value && String(value))
    return unpacked?.length ?? -1
  }
  if ('records' in reply) return { ...reply, records: count(reply.records) }
  if (!('produce' in reply)) return reply
  return { ...reply, produce: reply.produce && { ...reply.produce, records: count(reply.produce.records) } }
}

const edit = (id: number, isJson = false): HookCall => ({
  type: 'edit',
  id,
  topic: 't',
  mode: 'async',
  isJson,
  head: 'r1\nPOST\n/async/t?x\n10.0.0.1\nX-A\n1\nx-a\n2\nHost\nh'
})

describe('kafboy: a picker of partitions', () => {
  const picked = async (pick: unknown, count = 1): Promise<unknown[]> => {
    const { call, replies } = runnerOf({ pickPartition: pick })
    const contents = Array.from({ length: count }, (_, at) => [at === 0 ? null : `k${at}`, `v${at}`]).flat()
    call([{ type: 'pick', id: 4, topic: 't', partitionCount: 3 }], ...contents)
    return (await replies()).items
  }

  it('decides for each record by its key and value, as long as the partition is there', async () => {
    const asked: unknown[] = []
    const all = await picked((of: { key: unknown; value: unknown }) => {
      asked.push({ ...of, key: of.key && String(of.key), value: String(of.value) })
      return 2
    }, 2)
    expect(all).to.deep.equal([{ type: 'picked', id: 4, partitions: [2, 2] }])
    expect(asked).to.deep.equal([
      { topic: 't', key: null, value: 'v0', partitionCount: 3 },
      { topic: 't', key: 'k1', value: 'v1', partitionCount: 3 }
    ])
  })

  for (const [answer, partition] of [
    [0, 0],
    [2, 2],
    [3, -1],
    [-1, -1],
    [-2, -1],
    [1.5, -1],
    ['1', -1],
    [undefined, -1],
    [null, -1],
    [{}, -1],
    [{ error: 'no' }, -2],
    [{ error: undefined }, -2],
    [Object.create({ error: 'inherited' }), -1]
  ] as const) {
    it(`${JSON.stringify(answer)} means ${partition}`, async () => {
      expect(await picked(() => answer)).to.deep.equal([{ type: 'picked', id: 4, partitions: [partition] }])
    })
  }

  it('that throws for one record decides for the others, and is told of', async () => {
    const all = await picked(({ key }: { key: unknown }) => {
      if (key === null) throw new Error('no key')
      return 1
    }, 3)
    expect(all).to.deep.equal([
      { type: 'stray', message: 'no key' },
      { type: 'picked', id: 4, partitions: [-1, 1, 1] }
    ])
    expect(await picked(undefined)).to.deep.equal([{ type: 'picked', id: 4, partitions: [-1] }])
  })
})

describe('kafboy: the memory of a call', () => {
  const body = (text: string): string => JSON.stringify({ data: text })
  /** Makes one call, and tells whether the decision came in the memory of the call. */
  const decide = (
    editJson: unknown,
    text: string,
    isJson = true
  ): { isReused: boolean; contents: readonly (string | null)[] } => {
    const transfers: ArrayBuffer[] = []
    const contents: (string | null)[] = []
    const runner = new HookRunner({ editJson } as KafboyHooks, {
      maxDecisionBytes: 1_000_000,
      begin: () => undefined,
      send: (message, transfer) => {
        const { replies } = structuredClone(message as Replies, { transfer })
        transfers.push(...transfer)
        for (const reply of replies) withCounts(reply, contents)
      }
    })
    const records = packRecords([{ key: null, value: text }])
    runner.receive([{ ...(edit(1, isJson) as PostedCall & { type: 'edit' }), records }])
    return { isReused: transfers.includes(records), contents }
  }
  const give = ({ json }: KafboyRequest): unknown => ({ produce: { data: [(json as { data: string }).data] } })

  for (const text of ['x'.repeat(2_000), 'ü€😀'.repeat(200), '\u0000\u007f'.repeat(200)]) {
    it(`takes the records that are made of ${JSON.stringify(text.slice(0, 4))}, and the bytes of the body are seen afterwards`, () => {
      let kept: KafboyRequest | undefined
      const hook = (request: KafboyRequest): unknown => give((kept = request))
      expect(decide(hook, body(text))).to.deep.equal({ isReused: true, contents: [null, text] })
      expect(Buffer.from(kept!.rawBody).toString()).to.equal(body(text))
      expect(kept!.rawBody).to.equal(kept!.rawBody)
    })
  }

  it('is given away although copies of the request see the bytes', () => {
    let copies: KafboyRequest[] = []
    const hook = (request: KafboyRequest): unknown => {
      copies = [Object.create(request) as KafboyRequest, new Proxy(request, {})]
      return give(request)
    }
    expect(decide(hook, body('a')).isReused).to.equal(true)
    const copy = { ...copies[0]!, ...copies[1]! }
    expect(Object.keys(copy)).to.deep.equal(['type', 'topic', 'mode', 'body', 'json', 'rawBody', 'req'])
    for (const { rawBody, req } of [...copies, copy]) {
      expect(Buffer.from(rawBody).toString()).to.equal(body('a'))
      expect(req.requestId).to.equal('r1')
    }
  })

  it('is left alone when the hook has the bytes in it, also when they are the records', () => {
    let kept: Uint8Array | undefined
    const copying = (request: KafboyRequest): unknown => {
      kept = request.rawBody
      return give(request)
    }
    expect(decide(copying, body('a'))).to.deep.equal({ isReused: false, contents: [null, 'a'] })
    expect(Buffer.from(kept!).toString()).to.equal(body('a'))
    const late = (request: KafboyRequest): unknown => ({
      produce: {
        get data() {
          return [{ key: 'first', value: 'x' }, request.rawBody]
        }
      }
    })
    expect(decide(late, body('b')).contents).to.deep.equal(['first', 'x', null, body('b')])
  })

  it('is left alone when the records are larger, when the body is a form, and when the hook decides later', async () => {
    const twice = ({ json }: KafboyRequest): unknown => ({
      produce: { data: (json as { data: string }).data.repeat(3) }
    })
    expect(decide(twice, body('x'.repeat(100))).isReused).to.equal(false)
    const form = ({ body: fields }: KafboyRequest): unknown => ({ produce: { data: fields[0]![0] } })
    expect(decide(form, 'a=1', false)).to.deep.equal({ isReused: false, contents: [null, 'a'] })
    const later: KafboyRequest[] = []
    const { call, replies } = runnerOf({
      editJson: async (request: KafboyRequest) => {
        later.push(request)
        await new Promise(setImmediate)
        return give(request)
      }
    })
    call([edit(1, true)], body('c'))
    await new Promise(setImmediate)
    expect((await replies()).contents).to.deep.equal([null, 'c'])
    expect(Buffer.from(later[0]!.rawBody).toString()).to.equal(body('c'))
  })
})

describe('kafboy: a hook that edits', () => {
  it('sees the request: its form, its bytes, its head', async () => {
    let seen: Record<string, unknown> = {}
    const { call } = runnerOf({ editJson: (request: Record<string, unknown>) => void (seen = request) })
    call([edit(1)], 'a=1&b')
    expect(seen).to.deep.include({ type: 'post', topic: 't', mode: 'async', rawBody: Buffer.from('a=1&b') })
    expect(seen.body).to.deep.equal([
      ['a', '1'],
      ['b', true]
    ])
    expect(seen.req).to.deep.equal({
      requestId: 'r1',
      method: 'POST',
      url: '/async/t?x',
      remoteAddress: '10.0.0.1',
      headers: Object.assign(Object.create(null), { 'x-a': '1, 2', host: 'h' })
    })
  })

  for (const [body, json, fields] of [
    [
      '{"a":1,"b":[2]}',
      { a: 1, b: [2] },
      [
        ['a', 1],
        ['b', [2]]
      ]
    ],
    ['[1]', [1], []],
    ['null', null, []],
    ['5', 5, []],
    ['', undefined, []]
  ] as const) {
    it(`sees the JSON ${body || '(nothing)'}`, () => {
      let seen: Record<string, unknown> = {}
      const { call } = runnerOf({ editJson: (request: Record<string, unknown>) => void (seen = request) })
      call([edit(1, true)], body)
      expect([seen.json, seen.body]).to.deep.equal([json, fields])
    })
  }

  it('is not asked about what cannot be read', async () => {
    const { call, replies } = runnerOf({ editJson: () => expect.fail('was asked') })
    call([edit(1, true), edit(2, true), edit(3)], '{', Buffer.from([0x22, 0xff, 0x22]), Buffer.from('a=%ff'))
    expect((await replies()).items).to.deep.equal([1, 2, 3].map(id => ({ type: 'reject', id, message: 'invalid' })))
  })

  const replied = async (decision: unknown): Promise<unknown> => {
    const { call, replies } = runnerOf({ editJson: () => decision })
    call([edit(7)], 'a=1')
    const { items, contents } = await replies()
    return [...items, ...contents]
  }
  const produce = (records: number, isKeyed = false) => ({ topic: undefined, mode: undefined, records, isKeyed })

  const decisions: [name: string, decision: unknown, expected: unknown[]][] = [
    ['nothing but produce', { produce: {} }, [{ type: 'produce', id: 7, produce: produce(-1) }]],
    [
      'another topic and mode',
      { produce: { topic: 'u', mode: 'sync', data: 'x' } },
      [{ type: 'produce', id: 7, produce: { topic: 'u', mode: 'sync', records: 1, isKeyed: false } }, null, 'x']
    ],
    [
      'records with keys, empty and null',
      {
        produce: {
          data: [
            { key: 'k', value: '' },
            { key: null, value: null }
          ]
        }
      },
      [{ type: 'produce', id: 7, produce: produce(2, true) }, 'k', '', null, null]
    ],
    ['an answer', { status: 200, body: 'ok' }, [{ type: 'reply', id: 7, body: 'ok', produce: undefined }]],
    [
      'an answer as an object',
      { status: 200, body: { a: 1 } },
      [{ type: 'reply', id: 7, body: '{"a":1}', produce: undefined }]
    ],
    [
      'an answer, and something to produce',
      { status: 200, body: 'ok', produce: { data: 'x' } },
      [{ type: 'reply', id: 7, body: 'ok', produce: produce(1) }, null, 'x']
    ],
    [
      'an answer, and nothing to produce',
      { status: 200, body: 'ok', produce: { data: [] } },
      [{ type: 'reply', id: 7, body: 'ok', produce: undefined }]
    ],
    ...[
      { status: 201, body: '' },
      { status: 200 },
      { status: 200, body: '', produce: 1 },
      { status: 200, body: '', produce: { topic: 1 } },
      { produce: null },
      { produce: { mode: 'fast' } },
      { produce: { data: 5 } },
      { produce: { data: ['a', 5] } },
      { produce: { data: { key: 'k' } } },
      { produce: { data: { key: 5, value: 'v' } } },
      {},
      Object.create({ produce: {} }),
      ['x'],
      'text',
      5,
      null
    ].map((decision): [string, unknown, unknown[]] => [
      `what is none: ${JSON.stringify(decision)}`,
      decision,
      [{ type: 'reject', id: 7, message: 'unexp' }]
    ]),
    ['an empty list', [], [{ type: 'reject', id: 7, message: 'empty' }]],
    ['an empty list of records', { produce: { data: [] } }, [{ type: 'reject', id: 7, message: 'empty' }]],
    ['an error', { error: 'e'.repeat(1_001) }, [{ type: 'reject', id: 7, message: 'e'.repeat(1_000) }]],
    ['an error that is no text', { error: 5 }, [{ type: 'reject', id: 7, message: 'unknown' }]],
    ['a promise of one', Promise.resolve({ error: 'late' }), [{ type: 'reject', id: 7, message: 'late' }]],
    ['a promise of nothing', Promise.resolve(undefined), []]
  ]
  for (const [name, decision, expected] of decisions) {
    it(`decides ${name.slice(0, 70)}`, async () => {
      expect(await replied(decision)).to.deep.equal(expected)
    })
  }

  it('has thrown when its promise fails', async () => {
    expect(await replied(Promise.reject(new Error('no')))).to.deep.equal([{ type: 'threw', id: 7, message: 'no' }])
  })

  it('decides once, at once or later; each further decision is told of', async () => {
    let decide: (decision: unknown) => void = () => undefined
    const { call, replies } = runnerOf({ editJson: (_: unknown, later: typeof decide) => void (decide = later) })
    call([edit(1)], '')
    expect((await replies()).items).to.deep.equal([])
    decide({ error: 'first' })
    decide({ error: 'second' })
    expect((await replies()).items).to.deep.equal([{ type: 'reject', id: 1, message: 'first' }, { type: 'twice' }])
  })

  it('decides once, although reading its decision decides again', async () => {
    for (const decisionOf of [
      (again: () => void) => ({
        get error() {
          again()
          return 'first'
        }
      }),
      (again: () => void) => ({ status: 200, body: { toJSON: () => again() ?? 'first' } })
    ]) {
      const { call, replies } = runnerOf({
        editJson: (_: unknown, decide: (decision: unknown) => void) => decisionOf(() => decide({ error: 'second' }))
      })
      call([edit(1)], '')
      const [twice, first, ...others] = (await replies()).items
      expect([twice, others]).to.deep.equal([{ type: 'twice' }, []])
      expect(JSON.stringify(first)).to.include('first')
    }
  })

  it('that throws, or whose decision does, has thrown', async () => {
    const unprintable = { toString: () => expect.fail('cannot be printed') }
    for (const [hook, message] of [
      [() => expect.fail('no'), 'no'],
      [
        () => ({
          get error() {
            throw new Error('getter')
          }
        }),
        'getter'
      ],
      [() => Promise.reject('text'.repeat(200)), 'text'.repeat(125)],
      [
        () => {
          throw unprintable
        },
        'a value that cannot be printed'
      ],
      [() => ({ produce: { data: 'x'.repeat(9_985) } }), 'the records need more than 10000 bytes'],
      [() => ({ status: 200, body: 'ü'.repeat(5_001) }), 'the answer needs more than 10000 bytes']
    ] as const) {
      const { call, replies } = runnerOf({ editJson: hook })
      call([edit(9)], '')
      expect((await replies()).items).to.deep.equal([{ type: 'threw', id: 9, message }])
    }
    expect(await replied({ produce: { data: 'x'.repeat(9_984) } })).to.have.length(3)
  })

  it('produces by itself, learns what came of it, and what is known of a topic', async () => {
    const learnt: unknown[] = []
    const { call, replies } = runnerOf({
      editJson: async (_: unknown, __: unknown, ekaf: KafboyProducer) => {
        ekaf.produceAsync('a', 'x')
        ekaf.produceAsyncBatched('b', ['y', { key: 'k', value: 'z' }])
        const sync = ekaf.produceSync('c', 'w')
        learnt.push(await sync, await ekaf.info('d'))
        return { error: 'done' }
      }
    })
    call([edit(1)], '')
    const first = await replies()
    expect(first).to.deep.equal({
      items: [
        { type: 'ekaf', producerCall: 1, topic: 'a', mode: 'async', records: 1 },
        { type: 'ekaf', producerCall: 2, topic: 'b', mode: 'batchAsync', records: 2 },
        { type: 'ekaf', producerCall: 3, topic: 'c', mode: 'sync', records: 1 }
      ],
      contents: [null, 'x', null, 'y', 'k', 'z', null, 'w']
    })
    call([{ type: 'outcome', id: 2, producerCall: 3, outcome: ['sent'] }])
    expect((await replies()).items).to.deep.equal([{ type: 'info', producerCall: 4, topic: 'd' }])
    call([
      { type: 'outcome', id: 3, producerCall: 4, outcome: { partitions: 2 } },
      { type: 'outcome', id: 4, producerCall: 4, outcome: 'again' },
      { type: 'outcome', id: 5, producerCall: 99, outcome: 'nobody asked' }
    ])
    expect((await replies()).items).to.deep.equal([{ type: 'reject', id: 1, message: 'done' }])
    expect(learnt).to.deep.equal([['sent'], { partitions: 2 }])
  })

  it('is told when it asks the producer for what it cannot do', async () => {
    for (const [ask, message] of [
      [(ekaf: KafboyProducer) => ekaf.produceAsync(5 as never, 'x'), 'ekaf takes a topic and records'],
      [(ekaf: KafboyProducer) => ekaf.produceAsync('t', 5 as never), 'ekaf takes a topic and records'],
      [(ekaf: KafboyProducer) => ekaf.produceSync('t', [5] as never), 'ekaf takes a topic and records'],
      [(ekaf: KafboyProducer) => ekaf.produceAsync('t', 'x'.repeat(9_985)), 'the records need more than 10000 bytes'],
      [(ekaf: KafboyProducer) => ekaf.info(5 as never), 'ekaf.info takes the name of a topic']
    ] as const) {
      const { call, replies } = runnerOf({
        editJson: async (_: unknown, __: unknown, ekaf: KafboyProducer) => void (await ask(ekaf))
      })
      call([edit(1)], '')
      expect((await replies()).items).to.deep.equal([{ type: 'threw', id: 1, message }])
    }
  })

  it('is told by the promise of produceSync, which never throws', async () => {
    for (const [topic, data, message] of [
      [5, 'x', 'ekaf takes a topic and records'],
      ['t', 42, 'ekaf takes a topic and records'],
      ['t', 'x'.repeat(9_985), 'the records need more than 10000 bytes']
    ] as const) {
      const { call, replies } = runnerOf({
        editJson: (_: unknown, __: unknown, ekaf: KafboyProducer) =>
          ekaf
            .produceSync(topic as never, data as never)
            .catch((error: Error) => ({ status: 200, body: error.message }))
      })
      call([edit(1)], '')
      expect((await replies()).items).to.deep.equal([{ type: 'reply', id: 1, body: message, produce: undefined }])
    }
  })

  it('may produce as much at once as a decision may hold', async () => {
    const { call, replies } = runnerOf({
      editJson: (_: unknown, __: unknown, ekaf: KafboyProducer) => void ekaf.produceAsync('t', 'x'.repeat(9_984))
    })
    call([edit(1)], '')
    expect((await replies()).items).to.deep.equal([
      { type: 'ekaf', producerCall: 1, topic: 't', mode: 'async', records: 1 }
    ])
  })
})

describe('kafboy: hooks that are told something, or change a buffer', () => {
  it('are told of errors and events, and whatever they throw harms nobody', async () => {
    const told: unknown[] = []
    const { call, replies } = runnerOf({
      onError: (error: unknown) => {
        told.push(error)
        throw new Error('in onError')
      },
      onEvent: async (event: unknown) => {
        told.push(event)
        throw new Error('in onEvent')
      }
    })
    call([
      { type: 'error', id: 1, message: 'unexp' },
      { type: 'event', id: 2, event: { name: 'x' } as never }
    ])
    expect(told).to.deep.equal([{ status: 400, message: 'unexp' }, { name: 'x' }])
    expect((await replies()).items).to.deep.equal([
      { type: 'stray', message: 'in onError' },
      { type: 'done', id: 1 },
      { type: 'stray', message: 'in onEvent' }
    ])
  })

  it('need not be there', async () => {
    const { call, replies } = runnerOf({})
    call(
      [
        { type: 'error', id: 1, message: 'unexp' },
        { type: 'event', id: 2, event: { name: 'x' } as never },
        edit(3),
        { type: 'massage', id: 4, topic: 't' }
      ],
      ''
    )
    expect((await replies()).items).to.deep.equal([
      { type: 'done', id: 1 },
      { type: 'threw', id: 4, message: 'massageBuffer returned neither a record nor a list of records' }
    ])
  })

  it('give back the records of a buffer', async () => {
    const { call, replies } = runnerOf({
      massageBuffer: ({ topic, records }: { topic: string; records: readonly { key: unknown; value: Buffer }[] }) => [
        ...records,
        { key: topic, value: `${records.length}` }
      ]
    })
    call([{ type: 'massage', id: 5, topic: 't' }], null, 'a', 'k', '')
    expect(await replies()).to.deep.equal({
      items: [{ type: 'massaged', id: 5, records: 3 }],
      contents: [null, 'a', 'k', '', 't', '2']
    })
  })

  it('give back no more than a decision may be', async () => {
    for (const [size, type] of [
      [9_984, 'massaged'],
      [9_985, 'threw']
    ] as const) {
      const { call, replies } = runnerOf({ massageBuffer: () => 'x'.repeat(size) })
      call([{ type: 'massage', id: 5, topic: 't' }])
      const [item] = (await replies()).items
      expect(item).to.include({ type })
      if (type === 'threw') expect(item).to.include({ message: 'the records need more than 10000 bytes' })
    }
  })
})

describe('kafboy: what the thread of the hooks sends', () => {
  it('is one message for all calls of a batch, in their order, which tells that the thread is not stuck', () => {
    const { call, sent, begun } = runnerOf({ editJson: () => ({ error: 'no' }) })
    call([edit(1), edit(2), edit(3)], '', '', '')
    expect(begun).to.deep.equal([1, 2, 3])
    expect(sent.map(({ replies, endsBatch }) => [replies.length, endsBatch])).to.deep.equal([[3, true]])
    call([])
    expect(sent.at(-1)).to.deep.include({ replies: [], endsBatch: true })
  })

  it('is, between calls, one message per turn, and none when there is nothing to say', async () => {
    const { sent, runner, replies } = runnerOf({})
    runner.stray(new Error('a'))
    runner.stray('b')
    expect(sent).to.deep.equal([])
    expect((await replies()).items).to.deep.equal([
      { type: 'stray', message: 'a' },
      { type: 'stray', message: 'b' }
    ])
    runner.stray('c')
    runner.receive([])
    expect(sent).to.have.length(1)
    expect((await replies()).items).to.have.length(1)
    expect(sent, 'the turn found nothing left to send').to.deep.equal([])
  })

  it('does not wait for the end of the batch once it is large', () => {
    for (const decision of [{ status: 200, body: 'x'.repeat(150_000) }, { produce: { data: 'x'.repeat(150_000) } }]) {
      const { call, sent } = runnerOf({ editJson: () => decision }, 1_000_000)
      call([edit(1), edit(2), edit(3)], '', '', '')
      expect(sent.map(({ replies, endsBatch }) => [replies.length, endsBatch])).to.deep.equal([
        [2, false],
        [1, true]
      ])
    }
  })
})

describe('kafboy: records on their way between threads', () => {
  it('arrive as they were, empty and null, text and bytes', () => {
    const records = [
      { key: null, value: 'ü€😀' },
      { key: Buffer.from([0, 255]), value: '' },
      { key: 'k', value: null },
      { key: new Uint8Array(0), value: new Uint8Array([1]) }
    ]
    const bytesOf = (content: Bytes): Buffer | null => (content === null ? null : Buffer.from(content))
    expect(unpackRecords(packRecords(records))).to.deep.equal(
      records.map(({ key, value }) => ({ key: bytesOf(key), value: bytesOf(value) }))
    )
    expect(unpackRecords(packRecords([]))).to.deep.equal([])
  })

  it('use memory of earlier records if it is large enough, and see nothing of those', () => {
    const spare = packRecords([{ key: 'former', value: 'x'.repeat(100) }])
    for (const value of ['new', '', 'x'.repeat(100)]) {
      const packed = packRecords([{ key: null, value }], Number.POSITIVE_INFINITY, () => spare)
      expect(packed).to.equal(spare)
      expect(unpackRecords(packed)).to.deep.equal([{ key: null, value: Buffer.from(value) }])
    }
    const larger = packRecords([{ key: null, value: 'x'.repeat(200) }], Number.POSITIVE_INFINITY, () => spare)
    expect(larger).not.to.equal(spare)
    expect(unpackRecords(larger)).to.have.length(1)
  })
})
