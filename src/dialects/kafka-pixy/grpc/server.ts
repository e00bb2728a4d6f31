import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import {
  loadPackageDefinition,
  type Metadata,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  status
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { registerScrapedGauge } from '../../../metrics/scraped-gauge.js'
import type { DialectContext } from '../../dialect.js'
import { DEFAULT_CLUSTER, withAlias } from '../clusters.js'
import type { KafkaPixySettings } from '../settings.js'
import { type ArrivalLimits, Arrivals } from './arrivals.js'
import { GrpcPort } from './port.js'
import { KafkaPixyService } from './service.js'
import { StatusError } from './statuses.js'

/** The definition of the service; it is part of the package, for clients. */
export const PROTO_FILE = fileURLToPath(new URL('../../../../proto/kafka-pixy.proto', import.meta.url))
/** The original's limit, or more where messages may be larger. */
const SMALLEST_REQUEST_LIMIT_BYTES = 1024 * 1024
/** Topic, group, headers and lengths beside the message. */
const BESIDE_MESSAGE_BYTES = 64 * 1024
/** Calls of one connection at a time. Each may have sent 128 KiB before it is admitted. */
const MAX_STREAMS = 250
/** A connection whose peer does not answer a ping in time is cut, so one that never spoke HTTP/2 is as well. */
const PING_INTERVAL_MS = 20_000
const PING_TIMEOUT_MS = 10_000
/** A connection without calls is closed; clients of gRPC open another one when they need it. */
const IDLE_MS = 300_000
const LIMITS: ArrivalLimits = { maxArriving: 1_000, arrivalMs: 10_000, answerMs: 60_000 }

/** The constructor of clients, which holds the definition of the service. */
export function loadDefinition(): ServiceClientConstructor {
  const definition = loadSync(PROTO_FILE, { keepCase: true, longs: Number, defaults: true, objects: true })
  return loadPackageDefinition(definition)['KafkaPixy'] as ServiceClientConstructor
}

/**
 * Opens the port of the gRPC service, where one is configured.
 *
 * @throws ListenError when the address cannot be used
 */
export async function startGrpc(context: DialectContext<KafkaPixySettings>, limits = LIMITS): Promise<void> {
  const { settings, log, lifetime, metrics } = context
  const { grpcPort, grpcHost } = settings
  if (grpcPort === undefined) return
  const { port, server, service } = createService(context, limits)
  const bound = await port.listen(grpcHost, grpcPort)
  log.info({ host: grpcHost, port: bound }, "Kafka-Pixy's gRPC service listens")
  registerScrapedGauge(metrics.registry, 'kafka_pixy_open_calls', 'Calls of gRPC without an answer', 'sum', () => [
    { labels: {}, value: service.openCalls }
  ])
  lifetime.onDrain(() => {
    service.stop()
    port.drain()
    return new Promise<void>(resolve => server.tryShutdown(() => resolve()))
  })
  lifetime.onStop(async () => {
    server.forceShutdown()
    port.cut()
  })
}

function createService(context: DialectContext<KafkaPixySettings>, limits: ArrivalLimits) {
  const { settings, access, log, tls } = context
  const { grpcMaxConnections: maxConnections, grpcTls, maxMessageBytes } = settings
  const accept = (socket: Socket): void => injector.injectConnection(socket)
  const port = new GrpcPort({ maxConnections, tls: grpcTls === 'inherit' ? tls : undefined, accept })
  const broken = (error: unknown): StatusError => {
    log.error({ err: error as Error }, 'a call of gRPC could not be admitted')
    return new StatusError(status.INTERNAL, 'internal error')
  }
  const arrivals = new Arrivals({ access, limits, broken, socketOf: peer => port.socketOf(peer) })
  const callerOf = (metadata: Metadata) => arrivals.callerOf(metadata)
  const service = new KafkaPixyService(settings, { callerOf, log, gateways: gatewaysOf(context) })
  const server = new Server({
    interceptors: [arrivals.interceptor],
    'grpc.max_receive_message_length': Math.max(SMALLEST_REQUEST_LIMIT_BYTES, maxMessageBytes + BESIDE_MESSAGE_BYTES),
    'grpc.max_concurrent_streams': MAX_STREAMS,
    'grpc.keepalive_time_ms': PING_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
    'grpc.max_connection_idle_ms': IDLE_MS
  })
  server.addService(loadDefinition().service, service.handlers)
  // TLS, where there is any, has been dealt with before.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  return { port, server, service }
}

/** The default cluster has the empty name, too. */
function gatewaysOf({ gateways, settings: { defaultCluster } }: DialectContext<KafkaPixySettings>) {
  return new Map([...withAlias(gateways, defaultCluster), ['', gateways.get(DEFAULT_CLUSTER)!]])
}
