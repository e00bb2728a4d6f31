import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { bytes, count, host, listenPort, nonEmpty, yesOrNo } from '../../core/settings/units.js'
import { commonSettings, durability, syncTimeoutMs } from '../../http/api/api.js'

/** The settings of Kafka-Pixy's API. `castellan kafka-pixy` sets most of them from Kafka-Pixy's configuration file. */
export const kafkaPixySettings = z
  .strictObject({
    ...commonSettings(10 * MIB),
    unixSocket: nonEmpty
      .optional()
      .describe('A unix socket of its own, without the prefix `/pixy` (`unix_addr`). Absent: none'),
    unixSocketMode: z
      .string()
      .regex(/^[0-7]{3,4}$/, { error: 'write it in octal digits, as 660' })
      .default('660')
      .describe('File mode of the socket. Kafka-Pixy had 777: who can open the socket needs no credentials')
      .meta({ advanced: true }),
    grpcPort: listenPort
      .optional()
      .describe('The port of the gRPC service, as Kafka-Pixy had 19091; 0: any free one. Absent: none'),
    grpcHost: host.default('127.0.0.1').describe('Listening address of the port for gRPC'),
    grpcMaxConnections: count
      .default(1_000)
      .describe(
        'Limit of connections of the port for gRPC (`apis.kafka-pixy.grpcPort`). Beyond it the oldest one without a call is closed'
      )
      .meta({ advanced: true }),
    defaultCluster: nonEmpty
      .optional()
      .describe('Another name of the cluster `default` in paths: the first of `proxies`, or `default_cluster`'),
    durability: durability('memory'),
    partitioner: z
      .enum(['hash', 'random', 'roundrobin'])
      .default('hash')
      .describe('How a message finds its partition (`producer.partitioner`): `hash` of its key as Kafka-Pixy did'),
    maxMessageBytes: bytes
      .default(1_000_000)
      .describe(
        'Value, key, headers and 36 bytes of one message, and 10 more for each header (`producer.max_message_bytes`)'
      ),
    messageHeaders: yesOrNo(true).describe(
      'Whether messages may have headers. `false`: a synchronous request with one is answered 400, as by Kafka-Pixy with a `kafka.version` below 0.11'
    ),
    syncTimeoutMs: syncTimeoutMs(60_000),
    consumerDisabled: yesOrNo(false).describe('Answers every request for a message with 503 (`disabled` of a consumer)')
  })
  .prefault({})
  .describe('The API of Kafka-Pixy, under `/pixy`')

export type KafkaPixySettings = z.output<typeof kafkaPixySettings>
