import type { Socket } from 'node:net'
import { Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js'
import { type PrometheusMetrics, registerScrapedGauge } from '../../../core/metrics/prometheus.js'
import type { ApiContext } from '../../../http/api/api.js'
import { RecordHeaders } from '../../../http/exchange/record-headers.js'
import type { KafkaPixySettings } from '../settings.js'
import { DEFAULT_CLUSTER, withAlias } from '../target.js'
import { type CallLimits, Calls } from './calls.js'
import { GrpcPort } from './port.js'
import { loadDefinition } from './requests.js'
import { KafkaPixyService } from './service.js'
import { StatusError } from './statuses.js'

/** The original's limit, or more where messages may be larger. */
const SMALLEST_REQUEST_LIMIT_BYTES = 1024 * 1024
/** Topic, group, headers and lengths beside the message. */
const BESIDE_MESSAGE_BYTES = 64 * 1024
/** Calls of one connection at a time. All those of one read exist at once, of about 6 KB each. Each may have sent 128 KiB before it is admitted. */
const MAX_STREAMS = 100
/** A connection whose peer does not answer a ping in time is cut; one that never spoke HTTP/2 does not. */
const PING_INTERVAL_MS = 20_000
const PING_TIMEOUT_MS = 10_000
/** A connection without calls is closed; clients of gRPC open another one when they need it. */
const IDLE_MS = 300_000
const LIMITS: CallLimits = { maxArriving: 1_000, arrivalMs: 10_000, answerMs: 60_000 }

/** Requests stay bytes until their elements have been counted. */
function serverDefinition(): ServiceDefinition {
  const methods = Object.entries(loadDefinition().service)
  return Object.fromEntries(
    methods.map(([name, method]) => [name, { ...method, requestDeserialize: (bytes: Buffer) => bytes }])
  )
}

/**
 * Opens the port of the gRPC service, where one is configured.
 *
 * @throws ListenError when the address cannot be used
 */
export async function startGrpc(context: ApiContext<KafkaPixySettings>, limits = LIMITS): Promise<void> {
  const { settings, log, lifetime } = context
  const { grpcPort, grpcHost } = settings
  if (grpcPort === undefined) return
  const service = createService(context, limits)
  const { port, server } = service
  const bound = await port.listen(grpcHost, grpcPort)
  log.info({ host: grpcHost, port: bound }, "Kafka-Pixy's gRPC service listens")
  registerMetrics(context.metrics, service)
  lifetime.onDrain(() => {
    service.service.stop()
    port.drain()
    return new Promise<void>(resolve => server.tryShutdown(() => resolve()))
  })
  lifetime.onCut(async () => {
    server.forceShutdown()
    port.cut()
  })
}

type Service = ReturnType<typeof createService>

function registerMetrics({ registry }: PrometheusMetrics, { port, incoming, service }: Service): void {
  const gauge = (name: string, help: string, value: () => number): void =>
    registerScrapedGauge(registry, name, help, 'sum', () => [{ labels: {}, value: value() }])
  gauge('kafka_pixy_open_calls', 'Calls of gRPC without an answer', () => service.openCalls)
  gauge('kafka_pixy_arriving_calls', 'Calls of gRPC whose request has not arrived', () => incoming.arriving.size)
  gauge('kafka_pixy_grpc_connections', 'Open connections of the gRPC port', () => port.connections)
}

function createService(context: ApiContext<KafkaPixySettings>, limits: CallLimits) {
  const { settings, access, calls, log, recordHeaders = [] } = context
  const { grpcMaxConnections: maxConnections, maxMessageBytes } = settings
  const tls = settings.tls === 'inherit' ? context.tls : undefined
  const accept = (socket: Socket): void => injector.injectConnection(socket)
  const port = new GrpcPort({ maxConnections, calls, tls, accept })
  const maxRequestBytes = Math.max(SMALLEST_REQUEST_LIMIT_BYTES, maxMessageBytes + BESIDE_MESSAGE_BYTES)
  const refused = context.refused.of('kafka-pixy')
  const broken = (error: unknown): StatusError => {
    log.error({ err: error as Error }, 'a call of gRPC could not be admitted')
    return new StatusError(status.INTERNAL, 'internal error')
  }
  const incoming = new Calls({
    access,
    limits,
    recordHeaders: recordHeaders.length === 0 ? undefined : new RecordHeaders(recordHeaders),
    maxHeaderBytes: calls.maxHeaderBytes,
    maxMessageBytes: maxRequestBytes,
    refused,
    broken,
    connectionOf: peer => port.connectionOf(peer)
  })
  const service = new KafkaPixyService(settings, {
    log,
    gateways: gatewaysOf(context),
    refused
  })
  const server = new Server({
    interceptors: [incoming.interceptor],
    'grpc.max_receive_message_length': maxRequestBytes,
    'grpc.max_concurrent_streams': MAX_STREAMS,
    'grpc.keepalive_time_ms': PING_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
    'grpc.max_connection_idle_ms': IDLE_MS
  })
  server.addService(serverDefinition(), service.handlers)
  // The port has already handled TLS, if it is on.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  return { port, incoming, server, service }
}

/** The default cluster has the empty name, too. */
function gatewaysOf({ gateways, settings: { defaultCluster } }: ApiContext<KafkaPixySettings>) {
  return new Map([...withAlias(gateways, defaultCluster), ['', gateways.get(DEFAULT_CLUSTER)!]])
}
