import { EventEmitter } from 'node:events'
import type { OverloadedError } from '../../../src/core/errors.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { silentLogger } from '../../../src/core/model.js'
import { Refusals } from '../../../src/core/refusals.js'
import { type Head, readHead } from '../../../src/http/engine/head.js'
import type { SilenceLimit } from '../../../src/http/exchange/client.js'
import { Connections, type ConnectionsLimits } from '../../../src/http/server/connections.js'
import { HttpMetrics } from '../../../src/http/server/request-log.js'
import { Reader } from './fake-holder.js'

/** A socket that writes down what is done to it. */
export class FakeSocket extends EventEmitter {
  readonly remoteAddress: string
  readonly done: string[] = []
  /** Bytes that are discarded behind its end. */
  discarded: number | undefined
  bytesRead = 0
  bytesWritten = 0
  writable = true
  writableLength = 0
  destroyed = false

  constructor(remoteAddress = '10.0.0.1') {
    super()
    this.remoteAddress = remoteAddress
  }

  end(text?: string): void {
    this.done.push(text === undefined ? 'end' : `end ${text.split('\r\n')[0]}`)
  }
  destroySoon(): void {
    this.done.push('destroySoon')
  }
  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.done.push('destroy')
    this.emit('close')
  }

  newly(): string[] {
    return this.done.splice(0)
  }
}

/** Reads a connection as the engine does. */
const engineOf = (socket: FakeSocket) => ({
  socket,
  get unreadBytes() {
    return socket.writableLength
  },
  pause: () => void socket.done.push('pause'),
  resume: () => void socket.done.push('resume'),
  discard: (maxBytes: number) => void (socket.discarded = maxBytes),
  holdBody: () => undefined,
  detach: () => undefined
})

const headOf = (bodyBytes: number): Head => {
  const text = `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${bodyBytes}\r\n\r\n`
  return readHead(Buffer.from(text), 0, { maxHeaderBytes: 1_000, maxHeaders: 10 }) as Head
}

/** Connections over fake sockets, and the gauges of what they hold. */
export function connectionsWith(limits: Partial<ConnectionsLimits>, now: () => number, maxBytes = 1_000_000) {
  const metrics = new HttpMetrics(createPrometheusMetrics())
  const { bodiesInFlightBytes: held, connections: open } = metrics
  const refusals = new Refusals(now)
  const connections = new Connections(
    {
      maxBodyBytes: 1_000_000,
      maxBodyBytesPerConnection: 1_000,
      maxRequestsPerConnection: 3,
      maxBodiesInFlightBytes: maxBytes,
      perAddress: {},
      ...limits
    },
    { metrics, refusals, log: silentLogger, now }
  )
  const connect = (address?: string, silence?: SilenceLimit) => {
    const socket = new FakeSocket(address)
    connections.enter(socket as never)
    const connection = connections.open(engineOf(socket) as never, {
      guard: undefined as never,
      handler: () => {},
      silence
    })
    /** A request whose head has come, and whose body is being read. */
    const request = () => {
      const counted = connection.toRequest(headOf(1_000_000))
      const response = { headersSent: false, finished: false, shouldKeepAlive: true }
      counted.begin(response as never)
      const reader = new Reader()
      counted.handOn(reader)
      const take = (sizeBytes: number): OverloadedError | undefined => connection.take(counted, sizeBytes)
      return { counted, response, reader, take }
    }
    return { socket, connection, request }
  }
  return { connections, connect, held, open, refusals }
}
