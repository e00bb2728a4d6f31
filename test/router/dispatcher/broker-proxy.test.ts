import { expect } from 'chai'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { TimedOutError, UnavailableError } from '../../../src/core/errors.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import type { BrokerProxy } from '../../../src/router/dispatcher/broker-proxy.js'
import { produceBatch } from '../../../src/router/processors/produce-admission.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { turns } from '../../support/ticks.js'
import { ProcessorStage } from '../processors/stage.js'
import { openProxy } from './proxy-stage.js'

const IDLE_MS = 20_000

interface Call {
  readonly purpose: string
  answer(response: object): void
  fail(error: Error): void
}

describe('connections to one broker', () => {
  let system: ActorSystem
  let stage: ProcessorStage
  let proxy: BrokerProxy
  let calls: Call[]
  let closed: string[]
  let reported: string[]
  let opened: unknown[]
  let answered: BrokerProxy[]
  beforeEach(() => {
    system = new ActorSystem()
    stage = new ProcessorStage()
    calls = []
    closed = []
    reported = []
    opened = []
    answered = []
    proxy = openProxy(system, stage, {
      createClient: (address, purpose, expected) => {
        opened.push([address, purpose, expected()])
        return clientOf(purpose)
      },
      expectedClusterId: 'this cluster',
      reported: (kind, detail) =>
        void reported.push(
          detail instanceof Error ? kind : `${kind} ${(detail as { reason: string }[])[0]?.reason ?? ''}`
        ),
      answered: from => answered.push(from)
    })
  })
  afterEach(() => {
    proxy.stop()
    system.stop()
    stage.stop()
  })

  /** Every call of it waits until the test answers. */
  function clientOf(purpose: string): BrokerClient {
    const call = (): Promise<unknown> => new Promise((answer, fail) => calls.push({ purpose, answer, fail }))
    const client = {
      isConnected: true,
      close: async () => void closed.push(purpose),
      listOffsets: call,
      heartbeat: call,
      leaveGroup: call,
      produce: call
    }
    return client as unknown as BrokerClient
  }

  const submit = async (request: unknown): Promise<void> => {
    proxy.submit(request as OpenRequest)
    await turns(4)
  }
  const askOffset = (topic: string): Promise<void> =>
    submit(stage.accept('fetchOffset', { topicPartition: { topic, partition: 0 }, offsetType: 'latest' } as never))
  const beat = (memberId: string): Promise<void> =>
    submit(stage.accept('heartbeat', { groupId: 'billing', memberId, generationId: 1, connection: memberId } as never))
  const fail = async (call: number): Promise<void> => {
    calls[call]!.fail(new TimedOutError('a call', 1_000))
    await turns(4)
  }
  const answer = async (call: number): Promise<void> => {
    calls[call]!.answer({ throttleTimeMs: 0, errorCode: 0, partitions: [] })
    await turns(4)
  }

  describe('of members', () => {
    it('are closed when nothing was asked over them for 20 s', async () => {
      await beat('a')
      await answer(0)
      proxy.tidy(IDLE_MS)
      expect(closed).to.deep.equal([])
      proxy.tidy(IDLE_MS + 1)
      expect(closed).to.deep.equal(['member'])
      await beat('a')
      expect(calls, 'and opened anew').to.have.length(2)
    })

    it('are kept by what is asked, each its own', async () => {
      await beat('a')
      await answer(0)
      await beat('b')
      await answer(1)
      stage.now = IDLE_MS
      await beat('a')
      await answer(2)
      proxy.tidy(2 * IDLE_MS)
      expect(closed).to.have.length(1)
      proxy.tidy(2 * IDLE_MS + 1)
      expect(closed).to.have.length(2)
    })

    it('are closed when they have left', async () => {
      await beat('a')
      await answer(0)
      await beat('b')
      await answer(1)
      await submit(stage.accept('leaveGroup', { groupId: 'billing', memberId: 'a', connection: 'a' } as never))
      proxy.tidy(1)
      expect(closed).to.deep.equal(['member'])
      await beat('b')
      expect(calls.at(-1)!.purpose).to.equal('member')
      proxy.tidy(1)
      expect(closed).to.have.length(1)
    })

    it('are lost without the broker counting as unreachable, while it answers others', async () => {
      const lost = new UnavailableError('brokerUnreachable', 'closed the connection')
      await beat('a')
      await beat('b')
      stage.now = 1_000
      await answer(0)
      stage.now = 2_000
      calls[1]!.fail(lost)
      await turns(4)
      expect(reported).to.deep.equal([])
      expect(proxy.held).to.equal(0)
      await beat('b')
      stage.now = 2_001
      calls[2]!.fail(lost)
      await turns(4)
      expect(reported, 'when it is silent').to.deep.equal(['unreachable'])
    })

    it('are kept while an answer is awaited', async () => {
      await beat('a')
      proxy.tidy(10 * IDLE_MS)
      expect(closed).to.deep.equal([])
      expect(proxy.held).to.equal(1)
    })
  })

  describe('when calls are not answered in time', () => {
    it('the broker is unreachable after two on whatever connections, without an answer', async () => {
      await askOffset('orders')
      await beat('a')
      stage.now = 1_000
      await fail(0)
      expect(reported).to.deep.equal(['returned staleTopic'])
      await fail(1)
      expect(reported).to.deep.equal(['returned staleTopic', 'unreachable'])
    })

    it('a call is to blame when another one was answered since it was sent', async () => {
      await askOffset('orders')
      await beat('a')
      stage.now = 500
      await answer(1)
      stage.now = 1_000
      await fail(0)
      for (const call of [2, 3]) {
        await askOffset('orders')
        expect(calls).to.have.length(call + 1)
        await fail(call)
      }
      expect(reported).to.deep.equal(['returned staleTopic', 'returned staleTopic', 'unreachable'])
    })
  })

  it('carry each role by itself, and hand over all of them when they are stopped', async () => {
    await askOffset('orders')
    await beat('a')
    await beat('b')
    expect(calls.map(({ purpose }) => purpose)).to.deep.equal(['control', 'member', 'member'])
    expect(proxy.held).to.equal(3)
    expect(proxy.controlLoad).to.equal(2)
    expect(proxy.stop()).to.have.length(3)
    expect(closed).to.have.members(['control', 'member', 'member'])
    expect(proxy.held).to.equal(0)
    expect(proxy.controlLoad).to.equal(0)
  })

  it('are opened to its address, by the first call, and take the cluster along that is expected there', async () => {
    expect(opened).to.deep.equal([])
    await askOffset('orders')
    await askOffset('payments')
    expect(opened).to.deep.equal([[{ host: 'mock-1', port: 8000 }, 'control', 'this cluster']])
  })

  it('give back what was not sent, of every role, and go on with what was', async () => {
    for (const topic of ['orders', 'payments']) await askOffset(topic)
    await beat('a')
    await beat('a')
    const waits = proxy.drain()
    expect(waits.map(({ kind }) => kind)).to.deep.equal(['fetchOffset', 'heartbeat'])
    expect(proxy.held).to.equal(2)
    await answer(0)
    await answer(1)
    expect(proxy.held).to.equal(0)
  })

  it('are replaced when their dispatcher met a bug, which others do not feel', async () => {
    await beat('a')
    await askOffset('orders')
    await submit(stage.accept('fetchOffset', {} as never))
    expect(reported).to.deep.equal(['crashed'])
    expect(closed).to.deep.equal(['control'])
    await askOffset('orders')
    await answer(calls.length - 1)
    await answer(0)
    expect([reported, proxy.held], 'an answer without the partition').to.deep.equal([
      ['crashed', 'returned retryLater'],
      0
    ])
    expect(calls.map(({ purpose }) => purpose)).to.deep.equal(['member', 'control', 'control'])
  })

  it('tell of every answer which broker gave it', async () => {
    await askOffset('orders')
    expect(answered).to.deep.equal([])
    await answer(0)
    expect(answered).to.deep.equal([proxy])
  })

  it('are full at a limit, which the refusal tells with the broker and the role', async () => {
    const refused: { code?: string; message?: string }[] = []
    const request = { topicPartition: { topic: 'orders', partition: 0 }, offsetType: 'latest' }
    for (let count = 0; count <= 10; count++) {
      await submit(stage.accept('fetchOffset', request as never, refused as never))
    }
    expect(refused).to.have.length(1)
    expect(refused[0]).to.include({ code: 'overloaded' })
    expect(refused[0]!.message).to.match(
      /^broker-1-control\S* is full \(limit 10; advanced\.router\.maxWaitingRequests\)$/
    )
  })

  it('take the batches of any number of partitions, whose bytes are bounded before', async () => {
    const answers: unknown[] = []
    for (let partition = 0; partition <= 20; partition++) {
      const batch = { topic: 'orders', partition, bytes: Buffer.alloc(9), answer: (one: unknown) => answers.push(one) }
      const accepted = stage.openRequests.accept(produceBatch, batch as never, 5_000, 0)
      accepted.partition = stage.partition('orders', partition)
      await submit(accepted)
    }
    expect([answers, proxy.held]).to.deep.equal([[], 21])
  })
})
