import { Socket } from 'node:net'
import { expect } from 'chai'
import sinon from 'sinon'
import type { RecordOutcome } from '../../../src/core/model.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'
import { startHttp, until, untilNothingIsHeld } from './stage.js'

const PIPELINED = 6
const DELIVERED: readonly RecordOutcome[] = [{ type: 'delivered', partition: 0, offset: 1, timestampMs: 0 }]

const push = (isSync: boolean): string => {
  const body = `{"records":[{"topic":"orders","data":"x"}],"wait_for_send":${isSync}}`
  return `POST /kprf/push HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

describe('answers that are known in one tick', () => {
  afterEach(() => sinon.restore())

  /** Counts the writes to the operating system, by the port of the server's sockets. */
  const countWrites = (port: number): (() => number[]) => {
    const spies = [sinon.spy(Socket.prototype, '_write'), sinon.spy(Socket.prototype, '_writev')]
    return () => {
      const bySocket = new Map<Socket, number>()
      for (const socket of spies.flatMap(({ thisValues }) => thisValues as Socket[])) {
        if (socket.localPort === port) bySocket.set(socket, (bySocket.get(socket) ?? 0) + 1)
      }
      return [...bySocket.values()]
    }
  }

  /** Settles calls in one tick, from callbacks of every kind that a tick has: answers of several brokers come so. */
  const settleInOneTick = ({ calls }: FakeVerbs): Promise<void> =>
    new Promise(resolve => {
      setImmediate(() => {
        calls.forEach(({ settle }, at) => {
          if (at % 3 === 0) settle(DELIVERED)
          else if (at % 3 === 1) process.nextTick(() => settle(DELIVERED))
          else queueMicrotask(() => settle(DELIVERED))
        })
        resolve()
      })
    })

  it('leave in one write for each socket when Kafka has acknowledged records of many requests', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    const started = await startHttp({ verbs })
    const clients = await Promise.all([0, 1].map(() => RawSocket.open(started.http.urls.shared)))
    for (const client of clients) await client.send(push(true).repeat(PIPELINED))
    await until(() => verbs.calls.length === 2 * PIPELINED, 'all records')
    const writes = countWrites(Number(new URL(started.http.urls.shared).port))
    await settleInOneTick(verbs)
    await Promise.all(clients.map(client => client.until(() => client.answers === PIPELINED)))
    expect(writes()).to.deep.equal([1, 1])
    for (const client of clients) client.destroy()
    await untilNothingIsHeld(started)
    await started.http.close()
  })

  it('leave in one write when they wait for nothing', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    const started = await startHttp({ verbs })
    const client = await RawSocket.open(started.http.urls.shared)
    const writes = countWrites(Number(new URL(started.http.urls.shared).port))
    await client.send(push(false).repeat(PIPELINED))
    await client.until(() => client.answers === PIPELINED)
    expect(writes()).to.deep.equal([1])
    client.destroy()
    await started.http.close()
  })
})
