import { z } from 'zod'
import { MIB } from '../core/bytes.js'
import { isLegalTopicName } from '../core/model.js'
import { count, network, nonEmpty, secret, yesOrNo } from '../core/settings/units.js'
import { urlProblem } from './endpoint/webhook-url.js'

/** Each is a member of a group at each gateway, with heartbeats and rebalances of its own. */
const MAX_WEBHOOKS = 50
const MAX_BODY_BYTES = 16 * MIB
const CONTENT_TYPE = /^[\t\x20-\x7e]{1,256}$/

const name = (what: string) =>
  z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, {
    error: `name ${what} with a-z, 0-9 and - (not first), at most 63 characters`
  })

const topic = nonEmpty.superRefine((text, context) => {
  const problem = text.startsWith('__')
    ? "must not begin with __, as Kafka's own topics do"
    : isLegalTopicName(text)
      ? undefined
      : 'name one topic, with a-z, A-Z, 0-9, ".", "_" and "-"; a pattern is not possible'
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

const url = nonEmpty.superRefine((text, context) => {
  const problem = urlProblem(text)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

const definition = z.strictObject({
  cluster: nonEmpty.default('default').describe('The cluster of its topics'),
  topic: topic.describe('The topic whose records are sent. It is waited for while it does not exist'),
  url: url
    .describe('The endpoint. It is a secret, since a path may have a token: answers, log and metrics show its origin')
    .meta({ secret: true }),
  secretFile: nonEmpty
    .optional()
    .describe(
      'File with one secret `whsec_…` or two, one a line, the newest first. Absent: the variable `CASTELLAN_WEBHOOKS_NAME_SECRET` has them'
    ),
  start: z
    .enum(['earliest', 'latest'])
    .default('latest')
    .describe('Where it begins in a topic that it has not read before'),
  order: z.enum(['key', 'none']).default('key').describe('`key`: records of a key are sent one after another'),
  format: z
    .enum(['value', 'cloudevents'])
    .default('value')
    .describe('The body: `value` the bytes of the record, `cloudevents` an event in binary mode'),
  contentType: z
    .string()
    .regex(CONTENT_TYPE, { error: 'write a type such as application/json' })
    .optional()
    .describe('The header `content-type` of the format `value`; absent: `application/octet-stream`'),
  timeoutMs: z.int().min(1_000).max(60_000).default(15_000).describe('Time limit of an attempt'),
  maxInFlight: z.int().min(1).max(256).default(16).describe('Limit of the attempts under way at each gateway'),
  deadLetters: topic
    .optional()
    .describe('Topic of the same cluster for records that are given up; absent: none is given up'),
  maxAttempts: count
    .default(20)
    .describe('Attempts after which a record is given up; only those count that a healthy endpoint refuses'),
  credential: nonEmpty.optional().describe('One of `webhooks.credentials`'),
  paused: yesOrNo(false).describe('Nothing is sent. The group stays')
})

const credential = z.strictObject({
  type: z.enum(['bearer', 'basic']).describe('How it is sent'),
  token: secret.optional().describe('Of `bearer`').meta({ secret: true }),
  username: nonEmpty.optional().describe('Of `basic`'),
  password: secret.optional().describe('Of `basic`').meta({ secret: true }),
  urls: z
    .array(url)
    .min(1)
    .describe('It is sent to these and to what is below their paths: `https://api.example.com/hooks/`')
})

const egressNetwork = z.string().refine(text => text === 'public' || network.safeParse(text).success, {
  error: 'write public, or ADDRESS/BITS, for example 10.0.0.0/8'
})

export const webhooksSettings = z
  .strictObject({
    definitions: z
      .record(name('webhooks'), definition)
      .refine(all => Object.keys(all).length <= MAX_WEBHOOKS, { error: `has more than ${MAX_WEBHOOKS} webhooks` })
      .prefault({})
      .describe('Webhooks by name. The consumer group is `castellan-webhook-NAME`'),
    credentials: z.record(name('credentials'), credential).prefault({}).describe('Credentials for endpoints, by name'),
    networks: z
      .array(egressNetwork)
      .default(['public'])
      .describe(
        'Networks that endpoints may be in. `public`: what the internet routes, by https at the port 443. Only to networks that are named here: http, port 80 and the ports from 1024 on'
      ),
    recordHeaders: z
      .array(z.string())
      .max(50)
      .default([])
      .describe('Headers of records that become headers of requests'),
    maxBodyBytes: z
      .int()
      .min(1)
      .max(MAX_BODY_BYTES)
      .default(MIB)
      .describe('Limit of a request body. A larger record is given up, where a topic for dead letters is named'),
    tls: z
      .strictObject({
        ca: nonEmpty.optional().describe("File with certificate authorities (PEM) that count beside the system's")
      })
      .prefault({})
      .describe('TLS to endpoints')
  })
  .prefault({})
  .describe('Webhooks, explained in [webhooks.md](webhooks.md)')

export type WebhooksSettings = z.output<typeof webhooksSettings>
