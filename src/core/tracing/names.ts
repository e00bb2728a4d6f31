/**
 * Every name in a span, after OpenTelemetry's semantic conventions 1.45. The names of HTTP are stable; those of
 * messaging and Kafka may still change. Names that the conventions do not have begin with `castellan`.
 */
export const attributes = {
  httpMethod: 'http.request.method',
  /** The method as sent, when it is none of the known ones. */
  httpOriginalMethod: 'http.request.method_original',
  httpRoute: 'http.route',
  httpStatus: 'http.response.status_code',
  /** The route: the values in a path may be keys of records. */
  urlPath: 'url.path',
  urlScheme: 'url.scheme',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  clientAddress: 'client.address',
  protocolVersion: 'network.protocol.version',
  userAgent: 'user_agent.original',
  errorType: 'error.type',
  system: 'messaging.system',
  operation: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  destination: 'messaging.destination.name',
  partition: 'messaging.destination.partition.id',
  batchCount: 'messaging.batch.message_count',
  group: 'messaging.consumer.group.name',
  offset: 'messaging.kafka.offset',
  api: 'castellan.api',
  requestId: 'castellan.request.id',
  batchBytes: 'castellan.batch.bytes',
  attempts: 'castellan.batch.attempts',
  durability: 'castellan.durability'
} as const

/** The operations of messaging, and the beginnings of the names of their spans. */
export const spanOperations = {
  /** A batch on its way to Kafka: `send orders`. */
  send: 'send',
  /** Messages that a client gets: `process orders`. */
  process: 'process',
  /** Records of a request on their way into the durable log. */
  append: 'castellan.log append'
} as const

export const SYSTEM = 'kafka'

export const RETRY_EVENT = 'castellan.retry'

/** Methods that the conventions know. Others are `_OTHER`, so that clients cannot invent values. */
export const knownMethods: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'TRACE'
])
