import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, Server, ServerCredentials, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { ConfigError } from '../../../errors.js'
import { registerScrapedGauge } from '../../../metrics/scraped-gauge.js'
import type { DialectContext } from '../../dialect.js'
import type { KafkaPixySettings } from '../settings.js'
import { KafkaPixyService } from './service.js'

/** The definition of the service; it is part of the package, for clients. */
export const PROTO_FILE = fileURLToPath(new URL('../../../../proto/kafka-pixy.proto', import.meta.url))
const DEFAULT_CLUSTER = 'default'
/** The original's limit, or more where messages may be larger. */
const SMALLEST_REQUEST_LIMIT_BYTES = 1024 * 1024
/** Topic, group, headers and lengths beside the message. */
const BESIDE_MESSAGE_BYTES = 64 * 1024
/** Calls of one connection at a time. */
const MAX_STREAMS = 1_000

/** The constructor of clients, which holds the definition of the service. */
export function loadDefinition(): ServiceClientConstructor {
  const definition = loadSync(PROTO_FILE, { keepCase: true, longs: Number, defaults: true, objects: true })
  return loadPackageDefinition(definition)['KafkaPixy'] as ServiceClientConstructor
}

/**
 * Opens the port of the gRPC service, where one is configured.
 *
 * @throws ConfigError when the address cannot be used
 */
export async function startGrpc(context: DialectContext<KafkaPixySettings>): Promise<void> {
  const { settings, access, log, lifetime, metrics } = context
  const { grpcPort, grpcHost, maxMessageBytes } = settings
  if (grpcPort === undefined) return
  const service = new KafkaPixyService(settings, { access, log, gateways: gatewaysOf(context) })
  const server = new Server({
    'grpc.max_receive_message_length': Math.max(SMALLEST_REQUEST_LIMIT_BYTES, maxMessageBytes + BESIDE_MESSAGE_BYTES),
    'grpc.max_concurrent_streams': MAX_STREAMS
  })
  server.addService(loadDefinition().service, service.handlers)
  const port = await listen(server, grpcHost, grpcPort)
  log.info({ host: grpcHost, port }, "Kafka-Pixy's gRPC service listens")
  registerScrapedGauge(metrics.registry, 'kafka_pixy_open_calls', 'Calls of gRPC without an answer', 'sum', () => [
    { labels: {}, value: service.openCalls }
  ])
  lifetime.onDrain(() => {
    service.stop()
    return new Promise<void>(resolve => server.tryShutdown(() => resolve()))
  })
  lifetime.onStop(async () => server.forceShutdown())
}

/** The default cluster has the empty name, too. */
function gatewaysOf({ gateways, settings: { defaultCluster } }: DialectContext<KafkaPixySettings>) {
  const main = gateways.get(DEFAULT_CLUSTER)!
  return new Map([...gateways, ['', main], ...(defaultCluster === undefined ? [] : [[defaultCluster, main] as const])])
}

const listen = (server: Server, host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const name = host.includes(':') ? `[${host}]` : host
    server.bindAsync(`${name}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
      if (!error) resolve(bound)
      else reject(new ConfigError(`dialects.kafka-pixy.grpcPort: cannot listen on ${name}:${port}: ${error.message}`))
    })
  })
