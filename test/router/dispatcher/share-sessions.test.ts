import { expect } from 'chai'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { UnavailableError } from '../../../src/core/errors.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import type { BrokerProxy } from '../../../src/router/dispatcher/broker-proxy.js'
import { connectionOfSession } from '../../../src/router/processors/share.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { turns } from '../../support/ticks.js'
import { ProcessorStage } from '../processors/stage.js'
import { openProxy } from './proxy-stage.js'

const TEN_MINUTES = 600_000
const lost = new UnavailableError('brokerUnreachable', 'closed the connection')

/** A connection whose calls wait until the test answers. */
class Connection {
  isConnected = false
  connects = 0
  isClosed = false
  refusal: Error | undefined
  readonly calls: { answer(response: object): void; fail(error: Error): void }[] = []

  async connect(): Promise<void> {
    this.connects++
    if (this.refusal) throw this.refusal
    this.isConnected = true
  }
  async close(): Promise<void> {
    this.isClosed = true
    this.lose()
  }
  lose(): void {
    this.isConnected = false
    for (const call of this.calls) call.fail(lost)
  }
  readonly shareFetch = (): Promise<unknown> => new Promise((answer, fail) => void this.calls.push({ answer, fail }))
}

describe('connections of share sessions', () => {
  let system: ActorSystem
  let stage: ProcessorStage
  let proxy: BrokerProxy
  let connections: Connection[]
  let reported: string[]
  let refusal: Error | undefined
  beforeEach(() => {
    system = new ActorSystem()
    stage = new ProcessorStage()
    connections = []
    reported = []
    refusal = undefined
    proxy = openProxy(system, stage, {
      createClient: (_, purpose) => {
        expect(purpose).to.equal('session')
        const connection = Object.assign(new Connection(), { refusal })
        connections.push(connection)
        return connection as unknown as BrokerClient
      },
      reported: kind => void reported.push(kind)
    })
  })
  afterEach(() => {
    proxy.stop()
    system.stop()
    stage.stop()
  })

  /** The types of the results, with the codes of failures. */
  const fetch = async (memberId: string, epoch: number): Promise<string[]> => {
    const told: string[] = []
    const results = { push: (one: { type: string; code?: string }) => told.push(one.code ?? one.type) }
    const request = { nodeId: 1, groupId: 'billing', memberId, epoch, maxWaitMs: 250, acknowledgements: [] }
    proxy.submit(stage.accept('shareFetch', request as never, results as never) as unknown as OpenRequest)
    await turns(4)
    return told
  }
  const answer = async (connection: number, call: number): Promise<void> => {
    connections[connection]!.calls[call]!.answer({ throttleTimeMs: 0, errorCode: 0, partitions: [] })
    await turns(4)
  }
  const close = async (memberId: string): Promise<void> => {
    proxy.closeSession(connectionOfSession({ groupId: 'billing', memberId }))
    await turns(4)
  }

  it('each session has its own, over which all its calls go', async () => {
    const opened = await fetch('s', 0)
    const other = await fetch('t', 0)
    await answer(0, 0)
    const next = await fetch('s', 1)
    await answer(0, 1)
    await answer(1, 0)
    expect([opened, other, next]).to.deep.equal([['success'], ['success'], ['success']])
    expect(connections.map(({ calls, connects }) => [calls.length, connects])).to.deep.equal([
      [2, 1],
      [1, 1]
    ])
  })

  it('a lost one is not opened anew: its call has no answer, and a later call is not sent', async () => {
    const flying = await fetch('s', 0)
    connections[0]!.lose()
    await turns(4)
    expect(flying).to.deep.equal(['timedOut'])
    const later = await fetch('s', 1)
    expect(later).to.deep.equal(['brokerUnreachable'])
    expect([connections.length, connections[0]!.connects, reported]).to.deep.equal([1, 1, []])
  })

  it('a call fails whose connection cannot be opened, and the broker does not count as unreachable for it', async () => {
    refusal = lost
    expect(await fetch('s', 0)).to.deep.equal(['brokerUnreachable'])
    expect(reported).to.deep.equal([])
    connections[0]!.refusal = undefined
    await fetch('s', 0)
    expect(connections[0]!.calls, 'it was never open, so it may be opened').to.have.length(1)
  })

  it('is closed at once when its session is given up, whatever is under way', async () => {
    const flying = await fetch('s', 0)
    const waiting = await fetch('s', 1)
    await fetch('t', 0)
    await close('s')
    expect([flying, waiting]).to.deep.equal([['timedOut'], ['brokerUnreachable']])
    expect(connections.map(({ isClosed }) => isClosed)).to.deep.equal([true, false])
    await close('s')
    await close('nobody')
    expect(reported).to.deep.equal([])
  })

  it('a forgotten one is closed after ten minutes without a call', async () => {
    await fetch('s', 0)
    await answer(0, 0)
    stage.now = TEN_MINUTES
    proxy.tidy(stage.now)
    expect(connections[0]!.isClosed).to.equal(false)
    proxy.tidy(stage.now + 1)
    expect(connections[0]!.isClosed).to.equal(true)
  })

  it('one with a call under way is kept', async () => {
    await fetch('s', 0)
    proxy.tidy(10 * TEN_MINUTES)
    expect(connections[0]!.isClosed).to.equal(false)
  })
})
