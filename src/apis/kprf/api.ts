import { integer, json, listOf, nullable, type Operation, object, oneOf, text } from '../../http/openapi/operation.js'
import type { KprfSettings } from './settings.js'

const record = {
  type: 'object',
  required: ['topic', 'data'],
  properties: {
    topic: text,
    data: { type: 'string', description: 'the value; its UTF-8 bytes' },
    key: nullable(text),
    partition: { ...nullable(integer), description: 'absent, null or -1: by the key' }
  }
}
const push = {
  type: 'object',
  required: ['records'],
  properties: {
    records: listOf(record),
    wait_for_send: {
      ...nullable({ type: 'boolean' }),
      description: 'true: the answer comes when every record has its outcome'
    }
  }
}

/** What `POST /push` takes and answers, for `/openapi.json`. */
export const kprfOperations = ({ failureWord }: KprfSettings): readonly Operation[] => {
  const failures = object({
    status: oneOf(failureWord),
    errors: listOf(object({ error: { type: 'boolean' }, message: nullable(text) }))
  })
  const failure = { content: json(failures) }
  return [
    {
      method: 'post',
      path: '/push',
      id: 'push',
      summary: 'Pushes records to Kafka',
      body: { description: 'Records, in the order in which they are to be written', content: json(push) },
      produces: true,
      answers: {
        200: {
          description: 'All records are in Kafka; without `wait_for_send`: accepted',
          content: json(object({ status: oneOf('ok'), errors: { type: 'array', maxItems: 0 } }))
        },
        400: { description: 'The body cannot be parsed', content: { 'text/plain': text } },
        401: { description: 'No credentials, or wrong ones', ...failure },
        403: { description: 'A topic of the request is not allowed', ...failure },
        413: { description: 'The body is too large', content: { 'text/plain': text } },
        415: { description: 'The content type is not application/json', content: { 'text/plain': text } },
        429: { description: 'A quota or a rate limit is used up', ...failure },
        500: { description: 'Records have failed: one entry for each record', ...failure },
        503: { description: 'No room for the body, or shutting down', ...failure }
      }
    }
  ]
}
