import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js'
import { toListenError } from '../../../core/listen-error.js'
import { type PrometheusMetrics, registerGauge } from '../../../core/metrics/prometheus.js'
import type { ApiContext, SharedTls } from '../../../http/api/api.js'
import { ApiProducer } from '../../../http/api/api-producer.js'
import type { CountedCalls } from '../../../http/exchange/other-protocols.js'
import { RecordHeaders } from '../../../http/exchange/record-headers.js'
import { API, messageOptionsFor } from '../produce.js'
import type { KafkaPixySettings } from '../settings.js'
import { DEFAULT_CLUSTER, withAlias } from '../target.js'
import { type CallLimits, Calls, type GrpcConnection } from './calls.js'
import { loadDefinition, StatusError } from './protocol.js'
import { KafkaPixyService } from './service.js'

const HANDSHAKE_TIMEOUT_MS = 10_000
const HTTP2 = 'h2'
const SETTINGS = { hostSetting: 'apis.kafka-pixy.grpcHost', portSetting: 'apis.kafka-pixy.grpcPort' }

/**
 * The port of the gRPC service. It is not opened by grpc-js, which neither limits connections nor exchanges certificates
 * while it serves.
 */
export class GrpcPort {
  readonly #server: NetServer
  readonly #calls: CountedCalls
  readonly #accept: (socket: Socket) => void
  readonly #maxConnections: number
  /** Connections by address and port of the peer, as grpc-js writes them. */
  readonly #open = new Map<string, GrpcConnection>()

  /**
   * @param calls counts connections and calls for the limits of `http`
   * @param maxConnections beyond it the oldest one without a call is closed, of the address that has most
   * @param tls absent: the port does not speak TLS
   * @param accept serves HTTP/2 on a connection, after its handshake
   */
  constructor(
    calls: CountedCalls,
    maxConnections: number,
    tls: SharedTls | undefined,
    accept: (socket: Socket) => void
  ) {
    this.#calls = calls
    this.#accept = accept
    this.#maxConnections = maxConnections
    this.#server = tls ? secureServer(tls, socket => this.#secured(socket)) : createServer({ noDelay: true })
    this.#server.on('connection', (socket: Socket) => this.#arrived(socket, tls !== undefined))
  }

  get connections(): number {
    return this.#open.size
  }

  connectionOf(peer: string): GrpcConnection | undefined {
    return this.#open.get(peer)
  }

  /** @throws ListenError naming the setting to change when the address cannot be used */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', error => reject(toListenError(error, { host, port, ...SETTINGS })))
      this.#server.listen(port, host, () => resolve((this.#server.address() as { port: number }).port))
    })
  }

  drain(): void {
    this.#server.close()
  }

  cut(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }

  #arrived(socket: Socket, isSecure: boolean): void {
    // Without a listener an error of a connection would end the process.
    socket.on('error', () => undefined)
    const counted = this.#calls.connection(socket)
    // The limit per address may have refused the connection.
    if (socket.destroyed) return
    const peer = peerOf(socket)
    this.#open.set(peer, { counted, socket, calls: 0 })
    socket.once('close', () => {
      if (this.#open.get(peer)?.counted === counted) this.#open.delete(peer)
    })
    if (this.#open.size > this.#maxConnections) this.#closeOldest()
    if (!isSecure && !socket.destroyed) this.#accept(socket)
  }

  /** Silent connections keep no other client out. The newest connection has no call: where all others have, it is closed. */
  #closeOldest(): void {
    const ofAddress = new Map<string, number>()
    for (const { counted } of this.#open.values())
      ofAddress.set(counted.addressKey, (ofAddress.get(counted.addressKey) ?? 0) + 1)
    let most = 0
    let found: readonly [peer: string, GrpcConnection] | undefined
    for (const entry of this.#open) {
      const { calls, counted } = entry[1]
      const count = ofAddress.get(counted.addressKey)!
      if (calls > 0 || count <= most) continue
      most = count
      found = entry
    }
    this.#open.delete(found![0])
    found![1].socket.destroy()
    this.#calls.refusedConnection()
  }

  #secured(socket: Socket): void {
    const peer = peerOf(socket)
    const connection = this.#open.get(peer)
    if (connection === undefined) socket.destroy()
    else {
      this.#open.set(peer, { ...connection, socket })
      this.#accept(socket)
    }
  }
}

function secureServer(tls: SharedTls, accept: (socket: Socket) => void): NetServer {
  const options = { ...tls.options, ALPNProtocols: [HTTP2], handshakeTimeout: HANDSHAKE_TIMEOUT_MS, noDelay: true }
  const server = createTlsServer(options, socket => {
    socket.on('error', () => undefined)
    if (socket.alpnProtocol === HTTP2) accept(socket)
    else socket.destroy()
  })
  server.on('tlsClientError', (_, socket) => socket.destroy())
  tls.serve(server)
  return server
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`

/** The original's limit, or more where messages may be larger. */
const SMALLEST_REQUEST_LIMIT_BYTES = 1024 * 1024
/** Topic, group, headers and lengths beside the message. */
const BESIDE_MESSAGE_BYTES = 64 * 1024
/** Calls of one connection at a time. All those of one read exist at once, of about 6 KB each. Each may have sent 128 KiB before it is admitted. */
const MAX_STREAMS = 100
const SERVER_OPTIONS = {
  'grpc.max_concurrent_streams': MAX_STREAMS,
  // A connection whose peer does not answer a ping in time is cut; one that never spoke HTTP/2 does not.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // A connection without calls is closed; clients of gRPC open another one when they need it.
  'grpc.max_connection_idle_ms': 300_000
}
const LIMITS: CallLimits = { maxArriving: 1_000, arrivalMs: 10_000, answerMs: 60_000 }

/** Requests stay bytes until their elements have been counted. */
function serverDefinition(): ServiceDefinition {
  const methods = Object.entries(loadDefinition().service)
  return Object.fromEntries(
    methods.map(([name, method]) => [name, { ...method, requestDeserialize: (bytes: Buffer) => bytes }])
  )
}

/**
 * Opens the port of the gRPC service.
 *
 * @throws ListenError when the address cannot be used
 */
export async function startGrpc(context: ApiContext<KafkaPixySettings>, limits = LIMITS): Promise<void> {
  const { settings, lifetime, log, records } = context
  const { calls, tls, tracing } = context.otherProtocols
  const { grpcPort = 0, grpcHost, grpcMaxConnections: maxConnections, maxMessageBytes } = settings
  const accept = (socket: Socket): void => injector.injectConnection(socket)
  const port = new GrpcPort(calls, maxConnections, settings.tls === 'inherit' ? tls : undefined, accept)
  const maxRequestBytes = Math.max(SMALLEST_REQUEST_LIMIT_BYTES, maxMessageBytes + BESIDE_MESSAGE_BYTES)
  const producer = new ApiProducer({ name: API, options: messageOptionsFor(settings) }, context)
  const incoming = new Calls({
    ...callsOptionsOf(context),
    limits,
    maxMessageBytes: maxRequestBytes,
    producer,
    connectionOf: port.connectionOf.bind(port)
  })
  const parts = { log, verbsByCluster: verbsOf(context), producer, records, tracing }
  const service = new KafkaPixyService(settings, parts)
  const server = new Server({
    interceptors: [incoming.interceptor],
    'grpc.max_receive_message_length': maxRequestBytes,
    ...SERVER_OPTIONS
  })
  server.addService(serverDefinition(), service.handlers)
  // The port has already handled TLS, if it is on.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  const bound = await port.listen(grpcHost, grpcPort)
  log.info({ host: grpcHost, port: bound }, "Kafka-Pixy's gRPC service listens")
  showOpen(context.metrics, service, incoming, port)
  lifetime.onDrain(() => {
    service.stop()
    port.drain()
    return new Promise<void>(resolve => server.tryShutdown(() => resolve()))
  })
  lifetime.onCut(async () => {
    server.forceShutdown()
    port.cut()
  })
}

/** The options of calls that come from the process. */
function callsOptionsOf({ access, log, otherProtocols, records }: ApiContext<KafkaPixySettings>) {
  const { calls, recordHeaders = [] } = otherProtocols
  return {
    access,
    records,
    recordHeaders: recordHeaders.length === 0 ? undefined : new RecordHeaders(recordHeaders),
    maxHeaderBytes: calls.maxHeaderBytes,
    broken: (error: unknown): StatusError => {
      log.error({ err: error }, 'a call of gRPC could not be admitted')
      return new StatusError(status.INTERNAL, 'internal error')
    }
  }
}

function showOpen({ registry }: PrometheusMetrics, service: KafkaPixyService, incoming: Calls, port: GrpcPort): void {
  const arriving = 'Calls of gRPC whose request has not arrived'
  registerGauge(registry, 'kafka_pixy_open_calls', 'Calls of gRPC without an answer', () => service.openCalls)
  registerGauge(registry, 'kafka_pixy_arriving_calls', arriving, () => incoming.arriving.size)
  registerGauge(registry, 'kafka_pixy_grpc_connections', 'Open connections of the gRPC port', () => port.connections)
}

/** The default cluster has the empty name, too. */
function verbsOf({ verbsByCluster, settings: { defaultCluster } }: ApiContext<KafkaPixySettings>) {
  return new Map([...withAlias(verbsByCluster, defaultCluster), ['', verbsByCluster.get(DEFAULT_CLUSTER)!]])
}
