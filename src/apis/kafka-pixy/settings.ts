import { z } from 'zod'
import { bytes, count, host, listenPort, milliseconds } from '../../core/settings/units.js'
import { asyncDurability, commonSettings } from '../../http/api/common-settings.js'

const MIB = 1024 * 1024

/** Kafka-Pixy's API: what is its own. `castellan kafka-pixy` sets most of it from Kafka-Pixy's configuration file. */
export const kafkaPixySettings = z
  .strictObject({
    ...commonSettings({
      prefix: '/pixy',
      portNote: ', as Kafka-Pixy had 19092',
      maxBodyBytes: 10 * MIB,
      bodyNote: 'Kafka-Pixy has no limit but this one for forms'
    }),
    unixSocket: z
      .string()
      .min(1)
      .optional()
      .describe('A unix socket of its own, without the prefix `/pixy` (`unix_addr`). Absent: none'),
    unixSocketMode: z
      .string()
      .regex(/^[0-7]{3,4}$/, { error: 'write it in octal digits, as 660' })
      .default('660')
      .describe('File mode of the socket. Kafka-Pixy had 777: who can open the socket needs no credentials'),
    grpcPort: listenPort
      .optional()
      .describe('The port of the gRPC service, as Kafka-Pixy had 19091; 0: any free one. Absent: none'),
    grpcHost: host.default('127.0.0.1').describe('Its listening address'),
    grpcTls: z
      .enum(['inherit', 'off'])
      .default('inherit')
      .describe('TLS of that port: `inherit` as in `http.tls`, `off` for clients that cannot speak it'),
    grpcMaxConnections: count
      .default(1_000)
      .describe(
        'Most connections of that port; beyond it a new one takes the place of one that does nothing, or only waits for messages while its address has more, or is closed'
      ),
    defaultCluster: z
      .string()
      .min(1)
      .optional()
      .describe('Another name of the cluster `default` in paths: the first of `proxies`, or `default_cluster`'),
    durability: asyncDurability('messages that are produced without `sync`'),
    partitioner: z
      .enum(['hash', 'random', 'roundrobin'])
      .default('hash')
      .describe('How a message finds its partition (`producer.partitioner`): `hash` of its key as Kafka-Pixy did'),
    maxMessageBytes: bytes
      .default(1_000_000)
      .describe(
        'Value, key, headers and 36 bytes of one message, and 10 more for each header (`producer.max_message_bytes`)'
      ),
    messageHeaders: z
      .boolean()
      .default(true)
      .describe(
        'Whether messages may have headers. `false`: a synchronous request with one is answered 400, as by Kafka-Pixy with a `kafka.version` below 0.11'
      ),
    syncTimeoutMs: milliseconds
      .default(60_000)
      .describe('A request with `sync` is answered within this; what has not been delivered then has failed'),
    asyncTimeoutMs: milliseconds
      .default(120_000)
      .describe('How long a message without `sync` is tried before it is given up'),
    lookUpTimeoutMs: milliseconds
      .default(10_000)
      .describe('Requests about offsets, consumers and topics are answered within this'),
    consumerDisabled: z
      .boolean()
      .default(false)
      .describe('Answers every request for a message with 503 (`disabled` of a consumer)'),
    maxTails: count
      .default(100)
      .describe(
        'Most clients that follow a topic by `GET /topics/TOPIC/tail`; the next one is answered 429, and so is a client that has more tails than are free'
      ),
    maxTailPartitions: count
      .max(500)
      .default(200)
      .describe('Most partitions that one tail follows. Each id of an event names all of them'),
    tailHeartbeatMs: milliseconds
      .default(15_000)
      .describe(
        'A tail without messages is sent a comment this often, so that its connection is not taken for a dead one'
      ),
    tailStallMs: milliseconds
      .default(60_000)
      .describe('A client of a tail that takes nothing for this long, while there is something, is disconnected'),
    maxAnswerMessages: count
      .max(100_000)
      .default(1_000)
      .describe('Most messages of one answer, whatever `count` of the request says'),
    maxAnswerBytes: bytes
      .default(4 * MIB)
      .describe('Bytes of keys, values and headers in an answer with `count`, after which no further message is added')
  })
  .prefault({})
  .describe('The API of Kafka-Pixy, under `/pixy`')

export type KafkaPixySettings = z.output<typeof kafkaPixySettings>
