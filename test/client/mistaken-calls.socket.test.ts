import { once } from 'node:events'
import { expect } from 'chai'
import type { ProgramCastellan } from '../../src/client/open-castellan.js'
import {
  askRouter,
  type Castellan,
  ConfigError,
  InvalidRequestError,
  openCastellan,
  RequestManager
} from '../../src/index.js'
import type { ProduceOptions } from '../../src/verbs/verbs.js'
import { onBroker } from '../support/stage.js'
import { walDirectoryOf } from '../support/wal-directory.js'

const options = { partitioner: 'murmur2', deadlineMs: 20_000 } as const
const good = { topic: 'orders', key: null, value: 'good' }

describe('a mistaken call of the library', () => {
  const stage = onBroker(undefined, true)
  let castellan: ProgramCastellan
  beforeEach(async () => {
    stage.cluster.createTopic('orders', { partitions: 2 })
    castellan = await stage.library({ wal: { directory: walDirectoryOf('apps') } })
  })

  const mistakes: readonly (readonly [string, unknown, unknown, RegExp])[] = [
    ['a misspelt partitioner', [good], { ...options, partitioner: 'murmur' }, /not "murmur"; did you mean murmur2\?$/],
    ['a partitioner that all objects have', [good], { ...options, partitioner: 'toString' }, /not "toString"$/],
    ['no partitioner', [good], { deadlineMs: 1_000 }, /^partitioner has to be one of murmur2, .* not undefined$/],
    ['no options', [good], undefined, /^options with a partitioner are needed/],
    ['a record instead of a list', good, options, /^records have to be a list, not object$/],
    ['a misspelt durability', [good], { ...options, durability: 'dsik' }, /^durability has to be memory or disk/]
  ]
  for (const durability of ['memory', 'disk'] as const) {
    for (const [what, records, mistaken, message] of mistakes) {
      it(`throws at once for ${what} (${durability}), and the records of others arrive`, async () => {
        const wrong = typeof mistaken === 'object' ? { durability, ...mistaken } : mistaken
        const call = (): unknown => castellan.verbs.produce(records as never, wrong as ProduceOptions)
        const before = castellan.verbs.produce([good], { ...options, durability })
        expect(call).to.throw(InvalidRequestError, message)
        const after = castellan.verbs.produce([good], { ...options, durability })
        for (const pendingProduce of [before, after]) {
          expect((await pendingProduce.outcomes()).map(({ type }) => type)).to.deep.equal(['delivered'])
        }
      })
    }
  }

  const writes: readonly (readonly [unknown, unknown, string])[] = [
    [{ topic: 'orders', value: 'x', timestamp: 1 }, {}, 'a record has no field timestamp; did you mean timestampMs?'],
    [{ topic: 'orders', vlaue: 'x' }, {}, 'a record has no field vlaue; did you mean value?'],
    [{ topic: 'orders', messages: [] }, {}, 'did you mean a list of records, each with its value?'],
    [{ topic: 'orders', value: 'x', headers: new Map() }, {}, 'headers are an object or a list, not a Map'],
    [good, { acks: -1 }, 'there is no option acks'],
    [good, { deadline: 5 }, 'there is no option deadline; did you mean deadlineMs?'],
    [good, { timeoutMs: 5 }, 'did you mean deadlineMs?'],
    [good, { signal: new AbortController() }, 'signal has to be an AbortSignal'],
    [good, 5_000, 'produce takes an object of options'],
    [good, null, 'produce takes an object of options']
  ]
  for (const [record, options, message] of writes) {
    it(`throws at once from produce, and takes no record: ${message}`, async () => {
      const records = [good, record] as never
      expect(() => castellan.produce(records, options as never)).to.throw(InvalidRequestError, message)
      const error: unknown = await castellan.produceOrThrow(records, options as never).catch((e: unknown) => e)
      expect(error).to.be.instanceOf(InvalidRequestError)
      expect(stage.cluster.records('orders', 0)).to.deep.equal([])
      expect(stage.cluster.records('orders', 1)).to.deep.equal([])
    })
  }

  const notRecords: readonly (readonly unknown[])[] = [
    ['orders', 'hello'],
    ['orders', { value: 'hello' }],
    ['orders'],
    [5, {}],
    [null],
    [undefined]
  ]
  for (const given of notRecords) {
    it(`is told that records come first: produce(${given.map(one => JSON.stringify(one)).join(', ')})`, async () => {
      const told = "records come first, such as produce({topic: 'orders', value: 'one book'})"
      const [records, options] = given as never[]
      expect(() => castellan.produce(records!, options)).to.throw(InvalidRequestError, told)
      const inTransaction = castellan.transaction('etl', tx => tx.produce(records!, options))
      const error: unknown = await inTransaction.catch((e: unknown) => e)
      expect(error).to.be.instanceOf(InvalidRequestError).with.property('message').that.contains('records come first')
    })
  }

  const notOptions: readonly (readonly [string, (given: never) => unknown])[] = [
    ['read', given => castellan.read('orders', given)],
    ['consume', given => castellan.consume(given)],
    ['batches', given => castellan.consume({ group: 'g', topics: 'orders' }).batches(given)],
    ['run', given => castellan.consume({ group: 'g', topics: 'orders' }).run(() => undefined, given)],
    ['produce', given => castellan.produce(good, given)],
    ['receipt', given => castellan.receipt('A'.repeat(38), given)]
  ]
  for (const [call, work] of notOptions) {
    it(`is told that ${call} takes an object of options, not a text, a number, null or a list`, async () => {
      for (const given of ['orders', 500, null, ['orders']]) {
        const told: unknown = await (async () => work(given as never))().catch((e: unknown) => e)
        const about = expect(told, JSON.stringify(given)).to.be.instanceOf(InvalidRequestError)
        about.with.property('message').that.contains(`${call} takes an object of options, not `)
      }
    })
  }

  it('is none to write what was read, or what was consumed', async () => {
    await castellan.produceOrThrow({ ...good, headers: { trace: ['1', '2'] } })
    stage.cluster.createTopic('copies', { partitions: 2 })
    for await (const record of castellan.read('orders')) await castellan.produceOrThrow({ ...record, topic: 'copies' })
    for await (const message of castellan.consume({ group: 'g', topics: 'orders', start: 'earliest' })) {
      await castellan.produceOrThrow({ ...message, topic: 'copies' })
      await castellan.produceOrThrow(message)
      message.ack()
      break
    }
    const copies = [0, 1].flatMap(partition => stage.cluster.records('copies', partition))
    expect(copies.map(({ value, headers }) => [String(value), headers!.length])).to.deep.equal([
      ['good', 2],
      ['good', 2]
    ])
  })

  const questionsOfReceipts: readonly (readonly [object, string])[] = [
    [{ wait: 5 }, 'receipt: there is no option wait; did you mean waitMs?'],
    [{ waitMs: '5' }, 'waitMs is a number of milliseconds'],
    [{ waitMs: -1 }, 'waitMs is a number of milliseconds'],
    [{ from: 0.5 }, 'from is the index of a record']
  ]
  for (const [options, message] of questionsOfReceipts) {
    it(`rejects the question for a receipt: ${message}`, async () => {
      const error: unknown = await castellan.receipt('none', options as never).catch((e: unknown) => e)
      expect(error).to.be.instanceOf(InvalidRequestError).with.property('message').that.contains(message)
    })
  }

  const orders = { topic: 'orders', partition: 0 }
  const changes: readonly (readonly [string, (admin: Castellan['admin']) => Promise<unknown>, string])[] = [
    ['null in a list', admin => admin.createTopic([{ name: 'a' }, null] as never), 'createTopic takes topics'],
    ['a text as topic', admin => admin.createTopic('a' as never), "such as {name: 'orders', partitions: 3}"],
    ['numPartitions', admin => admin.createTopic({ name: 'a', numPartitions: 7 } as never), 'mean partitions?'],
    ['a number as name', admin => admin.createTopic({ name: 5 } as never), 'takes names'],
    ['configs null', admin => admin.createTopic({ name: 'a', configs: null } as never), 'configs are an object'],
    ['configs of numbers', admin => admin.createTopic({ name: 'a', configs: { a: 1 } } as never), 'texts or null'],
    ['assignments null', admin => admin.createTopic({ name: 'a', assignments: null } as never), 'broker ids'],
    ['changes null', admin => admin.alterConfigs({ topic: 'orders' }, null as never), 'configs are an object'],
    ['validateOnly', admin => admin.deleteTopic('orders', { validateOnly: true } as never), 'no option validateOnly'],
    [
      'timeout',
      admin => admin.topics(undefined, { timeout: 5 } as never),
      'topics: there is no option timeout; did you mean timeoutMs?'
    ],
    ['a number as options', admin => admin.describeCluster(5 as never), 'describeCluster: the options have to be'],
    ['a controller', admin => admin.topics([], { signal: {} } as never), 'topics: signal has to be an AbortSignal'],
    ['no name to delete', admin => admin.deleteTopic(['orders', undefined] as never), 'takes names'],
    ['a text as list', admin => admin.topics('orders' as never), 'topics takes names'],
    ['an offset below 0', admin => admin.setOffsets('g', [{ ...orders, offset: -7 }]), 'no number below 0'],
    ['half an offset', admin => admin.setOffsets('g', [{ ...orders, offset: 1.5 }]), 'no number below 0'],
    ['no offset', admin => admin.setOffsets('g', [orders] as never), 'offset: 0}'],
    ['no list', admin => admin.setOffsets('g', { ...orders, offset: 1 } as never), 'setOffsets takes places'],
    ['no partition', admin => admin.logEnds([{ topic: 'orders' }] as never), 'logEnds takes places']
  ]
  for (const [what, change, message] of changes) {
    it(`rejects a call of admin, and changes nothing: ${what}`, async () => {
      const error: unknown = await change(castellan.admin).catch((e: unknown) => e)
      expect(error).to.be.instanceOf(InvalidRequestError).with.property('message').that.contains(message)
      expect([...(await castellan.admin.topics()).keys()]).to.deep.equal(['orders'])
    })
  }

  it('rejects a call of admin once for many names', async () => {
    const many = Array.from({ length: 260 }, (_, at) => ({ name: `t${at}` }))
    const error: unknown = await castellan.admin
      .createTopic([...many, null] as never, { validateOnly: true })
      .catch((e: unknown) => e)
    expect(error).to.be.instanceOf(InvalidRequestError)
  })

  const badOptions: readonly (readonly [string, object, string])[] = [
    ['ssl', { ssl: true }, 'ssl: no such setting; did you mean connection.tls?'],
    ['sasl', { sasl: {} }, 'sasl: no such setting; did you mean connection.sasl?'],
    [
      'a mechanism that there is not',
      { connection: { sasl: { mechanism: 'KERBEROS', username: 'a', password: 'b' } } },
      'connection.sasl.mechanism: expected'
    ],
    ['tls as a switch', { connection: { tls: true } }, 'connection.tls: expected an object'],
    ['bootstrapServers', { bootstrapServers: 'a:1' }, 'bootstrapServers: no such setting; did you mean brokers?'],
    [
      'a time below 0',
      { connection: { requestTimeoutMs: -5 } },
      'connection.requestTimeoutMs: must be at least 1, got -5'
    ]
  ]
  for (const [what, wrong, message] of badOptions) {
    it(`rejects openCastellan for ${what}`, async () => {
      const error = await openCastellan({ brokers: stage.bootstrap, ...wrong } as never).catch(rejected => rejected)
      expect(error).to.be.instanceOf(ConfigError)
      expect(error.message).to.contain(message)
    })
  }

  const readings: readonly (readonly [object, string])[] = [
    [{ from: 'begin' }, 'from: expected earliest, latest, {timestampMs}, {offset} or {last}'],
    [{ from: 'begin' }, 'did you mean earliest?'],
    [{ from: { timestampMs: -1 } }, 'none of them below 0'],
    [{ requestTimeoutMs: -1 }, 'requestTimeoutMs: must be at least 1, got -1'],
    [{ partitions: ['0'] }, 'partitions.0: expected'],
    [{ signal: new AbortController() }, 'signal: expected an AbortSignal']
  ]
  for (const [wrong, message] of readings) {
    it(`throws at once from read(${JSON.stringify(wrong)}): ${message}`, () => {
      expect(() => castellan.read('orders', wrong as never)).to.throw(ConfigError, message)
    })
  }

  const orders0 = { topic: 'orders', partition: 0 }
  const questions: readonly (readonly [object, string])[] = [
    [
      { type: 'fetchData', topicPartition: orders0, offset: 0, maxWait: 5 },
      'maxWait: no such field of fetchData; did you mean maxWaitMs?'
    ],
    [{ type: 'fetchOffset', topicPartition: orders0, offsetTyp: 'latest' }, 'did you mean offsetType?'],
    [
      { type: 'fetchOffset', topicPartition: orders0, offsetType: 'latest', timeoutMs: -1 },
      'timeoutMs must be at least 0, got -1'
    ],
    [{ type: 'fetchConsumerOffset', group: 'g', topicPartition: orders0 }, 'did you mean groupId?']
  ]
  for (const [wrong, message] of questions) {
    it(`rejects askRouter, also in a list: ${message}`, async () => {
      for (const asked of [wrong, [wrong]]) {
        const error = await askRouter(castellan.router.ref, asked as never).catch((rejected: unknown) => rejected)
        expect(error).to.be.instanceOf(InvalidRequestError)
        expect(error).to.have.property('message').that.contains(message)
      }
    })
  }

  it('rejects askRouter for a Router in place of its address', async () => {
    const question = { type: 'fetchOffset', topicPartition: orders0, offsetType: 'latest' } as const
    for (const [given, meant] of [
      [castellan.router, 'router.ref'],
      [castellan, 'castellan.router.ref'],
      [undefined, 'castellan.router.ref']
    ] as const) {
      const error = await askRouter(given as never, question).catch((rejected: unknown) => rejected)
      expect(error).to.be.instanceOf(InvalidRequestError)
      expect(error).to.have.property('message').that.contains(`did you mean ${meant}?`)
      expect(() => new RequestManager({ router: given as never, tellSelf() {} })).to.throw(InvalidRequestError, meant)
    }
  })

  it('is answered by the Router where a value or a type is wrong', async () => {
    const asked = { type: 'fetchOffset', topicPartition: orders0, offsetType: 'latest' } as const
    const textual = {
      type: 'fetchOffset' as const,
      topicPartition: { topic: 'orders', partition: '0' },
      offsetType: 'latest'
    }
    const wrong = [textual, { ...textual, type: 'fetchOfset' }] as never as [typeof asked, typeof asked]
    const [first, second] = await askRouter(castellan.router.ref, wrong)
    expect(first).to.include({
      code: 'invalidRequest',
      message: 'the partition must be a number of at least 0, got "0"'
    })
    expect(second).to.have.property('message').that.contains('did you mean fetchOffset?')
  })

  const badFaults: readonly (readonly [object, object, string])[] = [
    [
      { api: 'Produce', tpoic: 'orders' },
      { type: 'dropResponse' },
      'match.tpoic: no such setting; did you mean topic?'
    ],
    [{ api: 'produce' }, { type: 'dropResponse' }, 'did you mean Produce?'],
    [
      { api: 'Produce', count: -1 },
      { type: 'dropResponse' },
      'match.count: expected a whole number of at least 0, or Infinity'
    ],
    [{ api: 'Produce' }, { type: 'dropResponce' }, 'did you mean dropResponse?'],
    [{ api: 'Produce' }, { type: 'delay', delay: 5 }, 'action.delay: no such setting; did you mean delayMs?'],
    [{ api: 'Produce' }, { type: 'delay', delayMs: -5 }, 'action.delayMs: must be at least 0, got -5']
  ]
  for (const [match, action, message] of badFaults) {
    it(`throws from faults.add: ${message}`, () => {
      expect(() => stage.cluster.faults.add(match as never, action as never)).to.throw(ConfigError, message)
    })
  }

  it('of an actor is answered with one failure', async () => {
    const answer = await askRouter(castellan.router.ref, { type: 'produce', records: good as never })
    expect(answer.outcomes).to.have.length(1)
    expect(answer.outcomes[0]).to.deep.include({ type: 'failed', code: 'invalidRequest', persisted: 'no' })
  })

  it('of the embedded broker names a topic setting that Kafka refuses', () => {
    const create = (config: Record<string, string>) => () => stage.cluster.createTopic('t', { config })
    expect(create({ 'cleanup.polici': 'compact' })).to.throw(InvalidRequestError, 'cleanup.polici')
    expect(create({ 'retention.ms': 'soon' })).to.throw(InvalidRequestError, 'Not a number')
  })

  it('is none for settings of a topic as an object or as a Map', async () => {
    stage.cluster.createTopic('objects', { config: { 'cleanup.policy': 'compact', 'retention.ms': 60_000 } })
    stage.cluster.createTopic('maps', { config: new Map([['cleanup.policy', 'compact']]) })
    const configs = await castellan.verbs.topicConfigs(['objects', 'maps'], 10_000)
    expect(Object.fromEntries(configs.get('objects')!)).to.deep.equal({
      'cleanup.policy': 'compact',
      'retention.ms': '60000'
    })
    expect(Object.fromEntries(configs.get('maps')!)).to.deep.equal({ 'cleanup.policy': 'compact' })
  })
})

describe('waiting for brokers that do not answer', () => {
  const brokers = '127.0.0.1:1'
  let castellan: Awaited<ReturnType<typeof openCastellan>>
  afterEach(() => castellan.close({ timeoutMs: 0 }))

  it('is a warning of the process, which names the brokers and the reason', async () => {
    castellan = await openCastellan({ brokers })
    const [warning] = (await once(process, 'warning')) as [Error & { code?: string }]
    expect(warning).to.deep.include({ name: 'CastellanWarning', code: 'CASTELLAN_NO_BROKER' })
    expect(warning.message).to.match(/^no broker of cluster 127\.0\.0\.1:1 answers \(.*ECONNREFUSED.*trying again/)
  })

  it('fails requests of a consumer group that has not begun, with the reason, when their time is over', async () => {
    castellan = await openCastellan({ brokers, log: { debug() {}, info() {}, warn() {}, error() {} } })
    const result = await castellan.groups.consume('billing', 'orders', 1_000)
    expect(result).to.include({ type: 'failed', code: 'brokerUnreachable', retriable: true })
    expect(result).to.have.property('message').that.contains('ECONNREFUSED')
  })
})
