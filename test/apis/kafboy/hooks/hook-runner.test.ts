import { expect } from 'chai'
import type { HookCall, HookReplies, HookReply } from '../../../../src/apis/kafboy/hooks/hook-calls.js'
import { HookRunner } from '../../../../src/apis/kafboy/hooks/hook-runner.js'
import type { KafboyHooks, KafboyProducer } from '../../../../src/apis/kafboy/hooks/hooks.js'
import { Packer, Unpacker } from '../../../../src/apis/kafboy/hooks/packing.js'

type Bytes = string | Uint8Array | null

/** A runner whose messages are kept until somebody looks. Untyped hooks may return anything. */
function runnerOf(hooks: Record<string, unknown>, maxDecisionBytes = 10_000) {
  const sent: HookReplies[] = []
  const begun: number[] = []
  let turns: (() => void)[] = []
  const runner = new HookRunner(hooks as KafboyHooks, maxDecisionBytes, {
    send: message => sent.push(message),
    defer: callback => turns.push(callback),
    begin: id => begun.push(id)
  })
  const call = (items: readonly HookCall[], ...contents: readonly Bytes[]): void => {
    const packer = new Packer()
    for (const content of contents) packer.add(content)
    runner.receive({ items, packed: packer.take() })
  }
  /** All replies so far, and the byte strings that came with them. */
  const replies = async (): Promise<{ items: HookReply[]; contents: (string | null)[] }> => {
    await new Promise(resolve => setImmediate(resolve))
    for (const turn of turns) turn()
    turns = []
    const items = sent.flatMap(message => message.items)
    const contents = sent.flatMap(({ packed, items }) => {
      const unpacker = new Unpacker(packed)
      const count = items.reduce((sum, item) => sum + contentsOf(item), 0)
      return Array.from({ length: count }, () => unpacker.next()?.toString() ?? null)
    })
    sent.length = 0
    return { items, contents }
  }
  return { call, replies, sent, begun, runner }
}

function contentsOf(item: HookReply): number {
  if (item.type === 'massaged' || item.type === 'ekaf') return 2 * item.records
  if (item.type === 'produce') return 2 * Math.max(0, item.produce.records)
  return item.type === 'reply' ? 1 + 2 * Math.max(0, item.produce?.records ?? 0) : 0
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
  const picked = async (pick: unknown, count = 1): Promise<HookReply[]> => {
    const { call, replies } = runnerOf({ pickPartition: pick })
    const contents = Array.from({ length: count }, (_, at) => [at === 0 ? null : `k${at}`, `v${at}`]).flat()
    call([{ type: 'pick', id: 4, topic: 't', partitionCount: 3, records: count }], ...contents)
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
      { type: 'stray', id: 0, message: 'no key' },
      { type: 'picked', id: 4, partitions: [-1, 1, 1] }
    ])
    expect(await picked(undefined)).to.deep.equal([{ type: 'picked', id: 4, partitions: [-1] }])
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
    ['an answer', { status: 200, body: 'ok' }, [{ type: 'reply', id: 7, produce: undefined }, 'ok']],
    [
      'an answer as an object',
      { status: 200, body: { a: 1 } },
      [{ type: 'reply', id: 7, produce: undefined }, '{"a":1}']
    ],
    [
      'an answer, and something to produce',
      { status: 200, body: 'ok', produce: { data: 'x' } },
      [{ type: 'reply', id: 7, produce: produce(1) }, 'ok', null, 'x']
    ],
    [
      'an answer, and nothing to produce',
      { status: 200, body: 'ok', produce: { data: [] } },
      [{ type: 'reply', id: 7, produce: undefined }, 'ok']
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
    expect((await replies()).items).to.deep.equal([
      { type: 'reject', id: 1, message: 'first' },
      { type: 'twice', id: 1 }
    ])
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
        'something that cannot be printed'
      ],
      [() => ({ produce: { data: 'x'.repeat(9_985) } }), 'the decision is too large'],
      [() => ({ status: 200, body: 'ü'.repeat(5_001) }), 'the decision is too large']
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
        { type: 'ekaf', id: 1, topic: 'a', mode: 'async', records: 1 },
        { type: 'ekaf', id: 2, topic: 'b', mode: 'batchAsync', records: 2 },
        { type: 'ekaf', id: 3, topic: 'c', mode: 'sync', records: 1 }
      ],
      contents: [null, 'x', null, 'y', 'k', 'z', null, 'w']
    })
    call([{ type: 'outcome', id: 2, producerCall: 3, outcome: ['sent'] }])
    expect((await replies()).items).to.deep.equal([{ type: 'info', id: 4, topic: 'd' }])
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
      [(ekaf: KafboyProducer) => ekaf.produceAsync('t', 'x'.repeat(9_985)), 'too much for one call of ekaf'],
      [(ekaf: KafboyProducer) => ekaf.info(5 as never), 'ekaf tells of a topic by its name']
    ] as const) {
      const { call, replies } = runnerOf({
        editJson: async (_: unknown, __: unknown, ekaf: KafboyProducer) => void (await ask(ekaf))
      })
      call([edit(1)], '')
      expect((await replies()).items).to.deep.equal([{ type: 'threw', id: 1, message }])
    }
  })

  it('may produce as much at once as a decision may hold', async () => {
    const { call, replies } = runnerOf({
      editJson: (_: unknown, __: unknown, ekaf: KafboyProducer) => void ekaf.produceAsync('t', 'x'.repeat(9_984))
    })
    call([edit(1)], '')
    expect((await replies()).items).to.deep.equal([{ type: 'ekaf', id: 1, topic: 't', mode: 'async', records: 1 }])
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
      { type: 'stray', id: 0, message: 'in onError' },
      { type: 'done', id: 1 },
      { type: 'done', id: 2 },
      { type: 'stray', id: 0, message: 'in onEvent' }
    ])
  })

  it('need not be there', async () => {
    const { call, replies } = runnerOf({})
    call(
      [
        { type: 'error', id: 1, message: 'unexp' },
        { type: 'event', id: 2, event: { name: 'x' } as never },
        edit(3),
        { type: 'massage', id: 4, topic: 't', records: 0 }
      ],
      ''
    )
    expect((await replies()).items).to.deep.equal([
      { type: 'done', id: 1 },
      { type: 'done', id: 2 },
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
    call([{ type: 'massage', id: 5, topic: 't', records: 2 }], null, 'a', 'k', '')
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
      call([{ type: 'massage', id: 5, topic: 't', records: 0 }])
      const [item] = (await replies()).items
      expect(item!.type).to.equal(type)
      if (item!.type === 'threw') expect(item).to.include({ message: 'massageBuffer returned too much' })
    }
  })
})

describe('kafboy: what the thread of the hooks sends', () => {
  it('is one message for all calls of one, which tells that it is not stuck, in the order of the calls', () => {
    const { call, sent, begun } = runnerOf({ editJson: () => ({ error: 'no' }) })
    call([edit(1), edit(2), edit(3)], '', '', '')
    expect(begun).to.deep.equal([1, 2, 3])
    expect(sent.map(({ items, isAcknowledgement }) => [items.map(({ id }) => id), isAcknowledgement])).to.deep.equal([
      [[1, 2, 3], true]
    ])
    call([])
    expect(sent.at(-1)).to.deep.include({ items: [], isAcknowledgement: true })
  })

  it('is, between calls, one message per turn, and none when there is nothing to say', async () => {
    const { sent, runner, replies } = runnerOf({})
    runner.stray(new Error('a'))
    runner.stray('b')
    expect(sent).to.deep.equal([])
    const { items } = await replies()
    expect(items.map(item => item.type === 'stray' && item.message)).to.deep.equal(['a', 'b'])
    runner.stray('c')
    runner.receive({ items: [], packed: new Packer().take() })
    expect(sent).to.have.length(1)
    expect((await replies()).items).to.have.length(1)
    expect(sent, 'the turn found nothing left to send').to.deep.equal([])
  })

  it('does not wait for the end of the calls once it is large', () => {
    const { call, sent } = runnerOf({ editJson: () => ({ status: 200, body: 'x'.repeat(150_000) }) }, 1_000_000)
    call([edit(1), edit(2), edit(3)], '', '', '')
    expect(sent.map(({ items, isAcknowledgement }) => [items.length, isAcknowledgement])).to.deep.equal([
      [2, false],
      [1, true]
    ])
  })
})
