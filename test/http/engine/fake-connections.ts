import type { RequestListener } from 'node:http'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import { RefusalCounts } from '../../../src/core/refusals.js'
import type { BodyReader } from '../../../src/http/engine/body-source.js'
import { Connections, type ConnectionsLimits } from '../../../src/http/engine/connections.js'
import type { EngineResponse } from '../../../src/http/engine/response.js'
import type { SilenceLimit } from '../../../src/http/engine/silence-limit.js'
import { FakeSocket } from './fake-socket.js'

const LIMITS: ConnectionsLimits = {
  maxHeaderBytes: 1_000,
  maxHeaders: 10,
  headersTimeoutMs: 100_000,
  requestTimeoutMs: 100_000,
  keepAliveTimeoutMs: 100_000,
  socketTimeoutMs: 100_000,
  maxBodyBytes: 1_000_000,
  maxBodyBytesPerConnection: 1_000_000,
  maxRequestsPerConnection: 100,
  maxBodiesInFlightBytes: 1_000_000,
  perAddress: {}
}

export const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

/** @param bodyBytes the length that its head tells */
export const post = (path: string, body: string, bodyBytes = body.length): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${bodyBytes}\r\n\r\n${body}`

/** Writes down what it is told. */
export class Reader implements BodyReader {
  readonly told: string[] = []
  chunk(chunk: Buffer, lasts = true): void {
    this.told.push(`${lasts ? 'lasting' : 'passing'} chunk ${chunk}`)
  }
  end(): void {
    this.told.push('end')
  }
  failed(error: Error): void {
    this.told.push(`failed: ${error.message}`)
  }
  closed(): void {
    this.told.push('closed')
  }
  get isRefused(): boolean {
    return this.told.some(one => one.startsWith('failed'))
  }
}

/** A client over a socket that a test drives, and what the gateway makes of it. */
export type Client = ReturnType<ReturnType<typeof connectionsWith>['connect']>

const opened: FakeSocket[] = []

/** Ends all that was opened, and with it what its requests hold. */
export const closeConnections = (): void => {
  for (const socket of opened.splice(0)) socket.destroy()
}

/** Connections over fake sockets. */
export function connectionsWith(limits: Partial<ConnectionsLimits>, now: () => number) {
  const metrics = createPrometheusMetrics()
  const refusals = new RefusalCounts(now)
  const logged: string[] = []
  const log: Logger = { ...silentLogger, debug: (_, message) => void logged.push(message) }
  const connections = new Connections({ ...LIMITS, ...limits }, { metrics, refusals, log, now })
  const gaugeOf = (name: string): number => {
    const family = metrics.registry.getSingleMetric(`castellan_http_${name}`) as unknown as {
      get(): { values: { value: number }[] }
    }
    return family.get().values[0]!.value
  }
  const connect = (address?: string, silence?: SilenceLimit) => {
    const socket = new FakeSocket(address)
    opened.push(socket)
    const answers: EngineResponse[] = []
    const urls: string[] = []
    const client = {
      socket,
      answers,
      /** Paths of requests that have begun since the last call. */
      newly: () => urls.splice(0),
      onHandled: (_: EngineResponse): void => undefined,
      take: (text: string, lasts = false): boolean => {
        socket.bytesRead += text.length
        return connection.arrived(Buffer.from(text), lasts)
      },
      /** A request whose head has come, and whose body is being read. */
      request: (bodyBytes = 100_000) => {
        client.take(post('/', '', bodyBytes))
        const response = answers.at(-1)!
        const reader = new Reader()
        response.req.readInto(reader)
        /** @returns whether the bytes were taken */
        const send = (sizeBytes: number): boolean => {
          client.take('x'.repeat(sizeBytes))
          return !reader.isRefused
        }
        return { request: response.req, response, reader, send }
      },
      /** Answers all open requests, and has the answers leave. */
      answerAll: (): void => {
        for (const each of answers.splice(0)) each.end('x')
        socket.flush()
      }
    }
    connections.enter(socket as never)
    const handler = ((request: EngineResponse['req'], response: EngineResponse) => {
      urls.push(request.url)
      answers.push(response)
      client.onHandled(response)
    }) as unknown as RequestListener
    const connection = connections.open(socket as never, { guard: undefined as never, handler, silence })
    return Object.assign(client, { connection })
  }
  return { connections, connect, refusals, logged, gaugeOf }
}
