import { z } from 'zod'
import { json, LINES_TYPE, type Operation } from '../../http/openapi/operation.js'
import type { KprfSettings } from './settings.js'

/**
 * The body of a push, as clients should send it. `push-parse.ts` reads it; a test holds that it takes every body that
 * this schema takes.
 */
const record = z.object({
  topic: z.string(),
  data: z.string().describe('the value; its UTF-8 bytes'),
  key: z.string().nullish(),
  partition: z.int32().nullish().describe('absent, null or -1: by the key')
})
export const pushBody = z.object({
  records: z.array(record),
  wait_for_send: z.boolean().nullish().describe('true: the answer comes when every record has its outcome')
})
const text = { 'text/plain': z.string() }

/** The routes of pushes, each served with a slash at its end, too. */
export const kprfOperations = ({ failureWord }: KprfSettings): readonly Operation[] => {
  const failures = z.object({
    status: z.enum([failureWord]),
    errors: z.array(z.object({ error: z.boolean(), message: z.string().nullable() }))
  })
  const failure = { content: json(failures) }
  return [
    {
      method: 'post',
      path: '/push',
      id: 'push',
      verb: 'produce',
      summary: 'Pushes records to Kafka',
      description: `With \`${LINES_TYPE}\` each line is a record, and the answer waits for Kafka: 400 where no other attempt helps.`,
      body: {
        description: 'Records, in the order in which they are to be written',
        content: { ...json(pushBody), [LINES_TYPE]: record }
      },
      produces: true,
      answers: {
        200: {
          description: 'All records are in Kafka; without `wait_for_send`: accepted',
          content: json(z.object({ status: z.enum(['ok']), errors: z.array(z.unknown()).max(0) }))
        },
        400: {
          description: 'The body cannot be parsed, or a line has failed for good',
          content: { ...text, ...json(failures) }
        },
        401: { description: 'No credentials, or wrong ones', ...failure },
        403: { description: 'A topic of the request is not allowed', ...failure },
        413: { description: 'The body is too large', content: text },
        415: { description: `The content type is neither application/json nor ${LINES_TYPE}`, content: text },
        429: { description: 'A quota or a rate limit is used up', ...failure },
        500: { description: 'Records have failed: one entry for each record', ...failure },
        503: { description: 'Overloaded, or shutting down', ...failure }
      }
    }
  ]
}

/** On the port for metrics. */
export const metricsOperation: Operation = {
  method: 'get',
  path: '/metrics',
  id: 'metrics',
  verb: 'none',
  summary: "kprf's own metrics in the text format of Prometheus",
  answers: { 200: { description: 'The metrics', content: { 'text/plain': z.string() } } }
}
