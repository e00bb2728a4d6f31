import { z } from 'zod'
import { json, type Operation } from '../../../http/openapi/operation.js'
import { type Described, error } from '../v2/operations.js'

export const text = z.string()
export const link = z.object({ related: text })
const failure = { content: json(error) }

export const cluster_id = text.describe('The id of the cluster')
export const topic_name = text.describe('The topic')
export const partition_id = z.int().describe('The partition')
export const broker_id = z.int().describe('The id of the broker')

export const CLUSTER = '/v3/clusters/{cluster_id}'
export const TOPIC = `${CLUSTER}/topics/{topic_name}`
export const ofTopic = { cluster_id, topic_name }

/** A resource of version 3, with its members. */
export const resource = (kind: string, members: z.core.$ZodLooseShape) =>
  z.object({
    kind: z.literal(kind),
    metadata: z.object({ self: text, resource_name: text }),
    cluster_id: text,
    ...members
  })
export const listOf = (one: z.ZodType) =>
  z.object({ kind: text, metadata: z.object({ self: text, next: text.nullable() }), data: z.array(one) })

const refusals: Operation['answers'] = {
  401: { description: 'No credentials, or wrong ones', ...failure },
  403: { description: 'The client, or Castellan itself, may not do this', ...failure },
  404: { description: 'There is no such thing', ...failure },
  406: { description: 'The client takes no JSON', ...failure },
  500: { description: 'Kafka cannot be asked', ...failure },
  503: { description: 'Overloaded, or shutting down', ...failure }
}

/** A request that reads a resource or a list of them. */
export function read(path: string, params: Operation['params'], summary: string, schema: z.ZodType): Described {
  const answers = { 200: { description: summary, content: json(schema) }, ...refusals }
  return { method: 'get', path, ...(params && { params }), summary, answers }
}

/** The refusals of a request that changes something. */
export const refused: Operation['answers'] = {
  ...refusals,
  400: { description: 'The body is wrong, or Kafka refuses it', ...failure },
  413: { description: 'The body is too large', ...failure },
  415: { description: 'The content type is not application/json', ...failure },
  422: { description: 'The body is empty, or has an unknown member', ...failure }
}
export const done = { 204: { description: 'It is done' } }
