import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { PendingProduce, ProduceOptions } from '../../../src/gateway/gateway.js'
import { FakeGateway } from '../../support/fake-gateway.js'
import { RawSocket } from '../../support/raw-socket.js'
import { type Started, startHttp, untilNothingIsHeld } from './fixtures.js'

const PIPELINED = 300

/** Notes which topics are produced to. */
class NotingGateway extends FakeGateway {
  readonly written: string[] = []
  onFirst: () => void = () => undefined

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    this.written.push(records[0]!.topic)
    if (this.written.length === 1) this.onFirst()
    return super.produce(records, options)
  }
}

const push = (topic: string): string => {
  const body = `{"records":[{"topic":"${topic}","data":"x"}],"wait_for_send":true}`
  return `POST /kprf/push HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

describe('pipelined requests', () => {
  let started: Started
  afterEach(() => started.http.close())

  it('of one connection do not hold up those of another, and keep their order', async () => {
    const gateway = new NotingGateway()
    started = await startHttp({ http: { maxRequestsPerConnection: PIPELINED }, gateway })
    const [flood, innocent] = await Promise.all([0, 1].map(() => RawSocket.open(started.http.urls.shared)))
    gateway.onFirst = () => void innocent!.send(push('innocent'))
    const names = Array.from({ length: PIPELINED }, (_, index) => `flood-${index}`)
    await flood!.send(names.map(push).join(''))
    await innocent!.until(() => innocent!.answers === 1)
    expect(gateway.written.indexOf('innocent')).to.be.within(1, PIPELINED / 2)
    await flood!.until(() => flood!.answers === PIPELINED)
    expect(gateway.written.filter(topic => topic !== 'innocent')).to.deep.equal(names)
    for (const client of [flood!, innocent!]) client.destroy()
    await untilNothingIsHeld(started)
  })

  it('that are waiting are dropped with their connection', async () => {
    const gateway = new NotingGateway()
    started = await startHttp({ http: { maxRequestsPerConnection: PIPELINED }, gateway })
    const flood = await RawSocket.open(started.http.urls.shared)
    const arrived = new Promise<void>(resolve => (gateway.onFirst = resolve))
    await flood.send(Array.from({ length: PIPELINED }, () => push('flood')).join(''))
    await arrived
    flood.reset()
    await untilNothingIsHeld(started)
    expect(gateway.written.length).to.be.lessThan(PIPELINED)
  })
})
