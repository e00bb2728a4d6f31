import { expect } from 'chai'
import sinon from 'sinon'
import type { BrokerAddress } from '../../../src/core/model.js'
import type { BrokerClient, MetadataResponse } from '../../../src/kafka/broker-client.js'
import { MetadataSource } from '../../../src/router/routing/metadata-source.js'

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
