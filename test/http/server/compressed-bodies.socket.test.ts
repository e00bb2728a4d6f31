import { randomBytes } from 'node:crypto'
import { brotliCompressSync, constants } from 'node:zlib'
import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { silentLogger } from '../../../src/core/model.js'
import { BufferPool } from '../../../src/http/exchange/body-collector.js'
import { collectDecoded } from '../../../src/http/exchange/decoded-body.js'
import { createHttpContext } from '../../../src/http/server/context.js'
import type { Listener } from '../../../src/http/server/listener.js'
import { openerOf } from '../../../src/http/server/management-port.js'
import { httpSettings } from '../../../src/http/server/settings.js'
import { RawSocket } from '../../support/raw-socket.js'
import { until } from './stage.js'

const MIB = 1024 * 1024
/** Some tens of milliseconds of a thread. */
const BODY = brotliCompressSync(Buffer.concat([randomBytes(MIB), Buffer.alloc(15 * MIB)]), {
  params: { [constants.BROTLI_PARAM_QUALITY]: 1 }
})
const HEAD = `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: br\r\ncontent-length: ${BODY.length}\r\n\r\n`
type Moment = (sockets: readonly RawSocket[]) => boolean | Promise<boolean>
const REQUEST = Buffer.concat([Buffer.from(HEAD), BODY])

describe('connections that are cut while compressed bodies of theirs wait', () => {
  const metrics = createPrometheusMetrics()
  const context = createHttpContext({ http: httpSettings.parse({}), metrics, log: silentLogger })
  const { bodies } = context.codings
  const pool = new BufferPool(MIB)
  const listeners: Listener[] = []
  let url: string
  let ends: string[]
  before(async () => {
    const open = openerOf(context, listeners)
    const handler: Parameters<typeof open>[0] = (request, response) =>
      collectDecoded({ request, response, payload: request, requestId: '1' }, 16 * MIB, pool, end => {
        ends.push(Buffer.isBuffer(end) ? String(end.length) : String(end))
        response.end('read')
      })
    url = await open(handler, { host: '127.0.0.1', port: 0, hostSetting: 'none', portSetting: 'none' })
  })
  beforeEach(() => {
    ends = []
  })
  after(async () => {
    for (const listener of listeners) listener.cut()
    await Promise.all(listeners.map(listener => listener.drain()))
  })

  const gauge = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (.+)$`, 'm').exec(await metrics.registry.metrics())![1])
  const held = async (): Promise<number[]> => [
    bodies.waiting,
    bodies.running,
    bodies.heldBytes,
    await gauge('castellan_http_bodies_in_flight_bytes'),
    await gauge('castellan_http_connections')
  ]
  const nothing = [0, 0, 0, 0, 0]

  /** Sends requests, cuts their connections when it is true, and waits until nothing is held. */
  async function cut(count: number, bytes: Buffer, isTrue: Moment): Promise<void> {
    const sockets = await Promise.all(Array.from({ length: count }, () => RawSocket.open(url)))
    for (const socket of sockets) void socket.send(bytes)
    await until(() => isTrue(sockets), 'the moment')
    for (const [nth, socket] of sockets.entries()) nth % 2 === 0 ? socket.reset() : socket.destroy()
    let last: number[] = []
    await until(
      async () => {
        last = await held()
        return last.every(value => value === 0)
      },
      'that nothing is held',
      () => last.join()
    )
  }

  const moments: Readonly<Record<string, Parameters<typeof cut>>> = {
    'while they come': [4, REQUEST.subarray(0, REQUEST.length / 2), async () => (await held())[3]! > 0],
    'while one is decoded': [1, REQUEST, () => bodies.running > 0],
    'while some are decoded and others wait': [8, REQUEST, () => bodies.waiting > 3],
    'while others wait behind one on the same connection': [
      2,
      Buffer.concat([REQUEST, REQUEST, REQUEST]),
      () => bodies.heldBytes > 2 * BODY.length
    ],
    'while some are answered and others wait': [8, REQUEST, sockets => sockets.some(({ answers }) => answers > 0)],
    'behind all answers': [4, REQUEST, sockets => sockets.every(({ answers }) => answers > 0)]
  }
  for (const [moment, given] of Object.entries(moments))
    it(`give all back: ${moment}`, async () => {
      await cut(...given)
      expect(await held()).to.deep.equal(nothing)
      expect(ends.filter(end => end !== String(16 * MIB))).to.deep.equal([])
    })

  it('give all back when they are cut at any moment', async () => {
    for (let round = 0; round < 12; round++) {
      let left = 3 ** (round % 6)
      await cut(6, REQUEST, () => --left < 0)
    }
    expect(await held()).to.deep.equal(nothing)
  })
})
