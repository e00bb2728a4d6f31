import { z } from 'zod'
import { listenPort } from '../../../core/settings/units.js'

const whole = z.int()
const atLeastOne = whole.min(1)
const zeroOrMore = whole.min(0)

const kafka = z
  .strictObject({
    brokers: z
      .array(z.string().min(1))
      .optional()
      .describe('`clusters.default.brokers`; the port is 9092 where it is absent'),
    user: z.string().optional().describe('No effect, as in kprf, which cannot log in; set `clusters.default.sasl`'),
    password: z.string().optional().describe('As `user`').meta({ secret: true }),
    message_max_bytes: atLeastOne.optional().describe('`apis.kprf.messageMaxBytes`'),
    queue_buffering_max_messages: atLeastOne.optional().describe('No effect: the buffer is bounded in bytes'),
    queue_buffering_max_ms: zeroOrMore.optional().describe('No effect: a record is sent as soon as its broker is free'),
    queue_buffering_max_kbytes: atLeastOne.optional().describe('`delivery.maxBytes`, in KiB'),
    retries: zeroOrMore.optional().describe('No effect: records are tried until their time is over'),
    message_timeout_ms: zeroOrMore
      .optional()
      .describe('`apis.kprf.messageTimeoutMs`, of synchronous requests; 0: as long as `delivery.timeoutMs`'),
    request_timeout_ms: atLeastOne.optional().describe('No effect: `clusters.default.requestTimeoutMs` limits a call'),
    request_required_acks: whole.optional().describe('No effect: all in-sync replicas acknowledge'),
    statistics_interval_ms: zeroOrMore.optional().describe('No effect: metrics are calculated when they are asked for')
  })
  .optional()
  .describe("kprf's section `kafka`")

const http = z
  .strictObject({
    port: listenPort.optional().describe('`apis.kprf.port`'),
    metrics_port: listenPort.optional().describe('`apis.kprf.metricsPort`')
  })
  .optional()
  .describe("kprf's section `http`")

const rule = z.strictObject({ topic_name: z.string(), max_requests_per_minute: zeroOrMore })

const ratelimit = z
  .strictObject({
    enabled: z.boolean().optional().describe('`apis.kprf.ratelimit.enabled`'),
    rules: z.array(rule).optional().describe('`apis.kprf.ratelimit.rules`')
  })
  .optional()
  .describe("kprf's section `ratelimit`")

/** The keys of kprf's own configuration file. Source: kprf fd32acc, config. */
export const compatSettings = z
  .strictObject({
    kafka,
    http,
    output_file: z.string().min(1).optional().describe('`log.file`; `/dev/stdout` is stdout'),
    ratelimit
  })
  .optional()
  .describe("The keys of kprf's own configuration file, as it has them; the settings that they stand for win over them")

export type CompatSettings = NonNullable<z.output<typeof compatSettings>>
