import { expect } from 'chai'
import sinon from 'sinon'
import type { BrokerAddress } from '../../../src/core/model.js'
import type { BrokerClient, MetadataResponse } from '../../../src/kafka/broker-client.js'
import type { DescribeConfigsCall } from '../../../src/kafka/protocol/administration.js'
import { AutoCreation, MetadataSource } from '../../../src/router/routing/refresher.js'
import { turns } from '../../support/ticks.js'

type Behaviour = 'answers' | 'fails' | 'keeps silent'

const plan = { topics: [], allowAutoTopicCreation: false }
const response: MetadataResponse = { throttleTimeMs: 0, brokers: [], clusterId: null, controllerId: 1, topics: [] }
const addressOf = (port: number): BrokerAddress => ({ host: 'broker', port })

describe('metadata source', () => {
  let clock: sinon.SinonFakeTimers
  let asked: number[]
  let closed: number[]
  beforeEach(() => {
    asked = []
    closed = []
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    expect(clock.countTimers(), 'timers left behind').to.equal(0)
    clock.restore()
  })

  const sourceOf = (behaviours: readonly Behaviour[]): MetadataSource =>
    new MetadataSource(address => {
      const metadata = (): Promise<MetadataResponse> => {
        asked.push(address.port)
        const behaviour = behaviours[address.port]!
        if (behaviour === 'answers') return Promise.resolve(response)
        return behaviour === 'fails' ? Promise.reject(new Error(`${address.port} is away`)) : new Promise(() => {})
      }
      return { metadata, close: async () => void closed.push(address.port) } as unknown as BrokerClient
    }, 1_500)
  const ask = (source: MetadataSource, count: number) =>
    source.ask(
      plan,
      Array.from({ length: count }, (_, port) => addressOf(port)),
      0
    )

  it('asks one broker when that one answers', async () => {
    expect((await ask(sourceOf(['answers', 'answers']), 2)).address.port).to.equal(0)
    expect(asked).to.deep.equal([0])
  })

  it('asks the next at once when one fails', async () => {
    expect((await ask(sourceOf(['fails', 'fails', 'answers']), 3)).address.port).to.equal(2)
    expect(asked).to.deep.equal([0, 1, 2])
  })

  it('asks the next as well when one keeps silent for half a second, and takes the first answer', async () => {
    const answer = ask(sourceOf(['keeps silent', 'answers']), 2)
    await clock.tickAsync(499)
    expect(asked).to.deep.equal([0])
    await clock.tickAsync(1)
    expect((await answer).address.port).to.equal(1)
  })

  it('fails with the last error when all do, or when there is nobody to ask', async () => {
    const failureOf = (answer: Promise<unknown>): Promise<string> =>
      answer.then(
        () => 'none',
        (error: Error) => error.message
      )
    expect(await failureOf(ask(sourceOf(['fails', 'fails']), 2))).to.equal('1 is away')
    expect(await failureOf(ask(sourceOf([]), 0))).to.equal('no broker is known')
  })

  it('asks a broker that has just failed last', async () => {
    const source = sourceOf(['fails', 'answers', 'answers'])
    await ask(source, 3)
    await ask(source, 3)
    expect(asked).to.deep.equal([0, 1, 1])
  })

  it('keeps three connections, and closes the one that was opened first for a fourth', async () => {
    const source = sourceOf(['answers', 'answers', 'answers', 'answers'])
    for (const port of [0, 1, 2, 0]) await source.ask(plan, [addressOf(port)], 0)
    expect(closed).to.deep.equal([])
    await source.ask(plan, [addressOf(3)], 0)
    expect(closed).to.deep.equal([0])
    source.close()
    expect(closed).to.deep.equal([0, 1, 2, 3])
  })

  it('closes the connection on which a call failed', async () => {
    const source = sourceOf(['fails', 'answers'])
    await ask(source, 2)
    expect(closed).to.deep.equal([0])
  })

  it('asks nobody more once it is closed', async () => {
    const source = sourceOf(['keeps silent', 'answers'])
    void ask(source, 2).catch(() => {})
    source.close()
    await clock.tickAsync(1_500)
    expect(asked).to.deep.equal([0])
  })
})

const SETTING = 'auto.create.topics.enable'
const CLUSTER_AUTHORIZATION_FAILED = 31
const MINUTE_MS = 60_000
const metadata: MetadataResponse = {
  throttleTimeMs: 0,
  brokers: [1, 2].map(nodeId => ({ nodeId, ...addressOf(nodeId), rack: null })),
  clusterId: null,
  controllerId: 1,
  topics: []
}

describe('router: whether brokers create topics', () => {
  let asked: DescribeConfigsCall[]
  let answer: () => Promise<object>
  let creation: AutoCreation
  const says =
    (value: string | null, errorCode = 0) =>
    async (): Promise<object> => ({
      resources: [{ errorCode, configs: value === null ? [] : [{ name: SETTING, value }] }]
    })
  beforeEach(() => {
    asked = []
    answer = says('false')
    creation = new AutoCreation(1_500)
  })
  const client = {
    describeConfigs: (call: DescribeConfigsCall) => {
      asked.push(call)
      return answer()
    }
  } as never as BrokerClient
  const wasAsked = async (port: number, now = 0): Promise<boolean> => {
    creation.wasAsked(client, addressOf(port), metadata, now)
    await turns(2)
    return creation.isOff
  }

  it('is not known before a broker was asked and has answered', async () => {
    expect(creation.isOff).to.equal(false)
    creation.wasAsked(client, addressOf(1), metadata, 0)
    expect(creation.isOff, 'asked').to.equal(false)
    await turns(2)
    expect(creation.isOff, 'answered').to.equal(true)
    expect(asked).to.deep.equal([{ resources: [{ type: 'broker', name: '1' }], names: [SETTING], timeoutMs: 1_500 }])
  })

  it('is asked of each broker once in a minute', async () => {
    expect(await wasAsked(1)).to.equal(true)
    await wasAsked(1, MINUTE_MS)
    expect(await wasAsked(2, MINUTE_MS)).to.equal(true)
    expect(asked.map(({ resources }) => resources[0]!.name)).to.deep.equal(['1', '2'])
    answer = says('true')
    expect(await wasAsked(1, MINUTE_MS + 1), 'it was started with another setting').to.equal(false)
  })

  it('is that they may when one of them does, does not say, may not be asked, or fails', async () => {
    const others = [says('true'), says(null), says('false', CLUSTER_AUTHORIZATION_FAILED), says('maybe')]
    for (const other of [...others, () => Promise.reject(new Error('connection lost'))]) {
      creation.clear()
      answer = says('false')
      expect(await wasAsked(1)).to.equal(true)
      answer = other
      expect(await wasAsked(2)).to.equal(false)
    }
  })

  it('is not asked behind an address that is none of a broker', async () => {
    expect(await wasAsked(3)).to.equal(false)
    expect(asked).to.deep.equal([])
    expect(await wasAsked(1)).to.equal(false)
    expect(await wasAsked(1, 2 * MINUTE_MS + 1), 'the address was not used any more').to.equal(true)
  })
})
