import { once } from 'node:events'
import { expect } from 'chai'
import {
  askRouter,
  type Castellan,
  InvalidRequestError,
  openCastellan,
  type ProduceOptions
} from '../../../src/index.js'
import { onBroker } from '../../support/stage.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

const options = { partitioner: 'murmur2', deadlineMs: 20_000 } as const
const good = { topic: 'orders', key: null, value: 'good' }

describe('a mistaken call of the library', () => {
  const stage = onBroker(undefined, true)
  let castellan: Castellan
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
        const call = (): unknown => castellan.gateway.produce(records as never, wrong as ProduceOptions)
        const before = castellan.gateway.produce([good], { ...options, durability })
        expect(call).to.throw(InvalidRequestError, message)
        const after = castellan.gateway.produce([good], { ...options, durability })
        for (const pendingProduce of [before, after]) {
          expect((await pendingProduce.outcomes()).map(({ type }) => type)).to.deep.equal(['delivered'])
        }
      })
    }
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
    const configs = await castellan.gateway.topicConfigs(['objects', 'maps'], 10_000)
    expect(Object.fromEntries(configs.get('objects')!)).to.deep.equal({
      'cleanup.policy': 'compact',
      'retention.ms': '60000'
    })
    expect(Object.fromEntries(configs.get('maps')!)).to.deep.equal({ 'cleanup.policy': 'compact' })
  })
})

describe('waiting for brokers that do not answer', () => {
  const brokers = '127.0.0.1:1'
  let castellan: Castellan
  afterEach(() => castellan.close(0))

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
