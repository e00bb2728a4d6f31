import type { HttpApi, OwnListener } from '../../http/api/api.js'
import { kafkaPixyOperations } from './routes.js'
import { type KafkaPixySettings, kafkaPixySettings } from './settings.js'

const PREFIX = '/pixy'

/** The API of Kafka-Pixy, the HTTP proxy to Kafka with automatic consumer groups. */
export const kafkaPixy: HttpApi<KafkaPixySettings, 'kafka-pixy'> = {
  name: 'kafka-pixy',
  about: 'an HTTP proxy to Kafka in Go that also consumes, with automatic consumer groups',
  source: 'Kafka-Pixy master after 0.18.0 (mailgun/kafka-pixy 46483ae)',
  prefix: PREFIX,
  clusters: 'all',
  settings: kafkaPixySettings,
  tryIt: url => [`curl -i '${url}/topics/orders/messages?key=k1&sync' -H 'content-type: text/plain' -d hello`],
  readIt: url => [`curl -N '${url}/topics/orders/tail?from=earliest&encoding=text'`],
  listeners: unixSocketOf,
  hosts: ({ grpcPort, grpcHost: host, tls }) =>
    grpcPort === undefined ? [] : [{ setting: 'apis.kafka-pixy.grpcHost', host, tls: tls === 'inherit' }],
  operations: () => kafkaPixyOperations,
  plugin: async context => {
    // The packages of gRPC are only loaded where the service is configured.
    if (context.settings.grpcPort !== undefined) await (await import('./grpc/server.js')).startGrpc(context)
    return (await import('./plugin.js')).kafkaPixyPlugin(context)
  }
}

function unixSocketOf({ unixSocket, unixSocketMode: mode }: KafkaPixySettings): OwnListener[] {
  if (unixSocket === undefined) return []
  const address = { unixSocket, mode, setting: 'apis.kafka-pixy.unixSocket' }
  return [{ label: 'kafka-pixy unix socket', prefix: PREFIX, address, tls: false }]
}
