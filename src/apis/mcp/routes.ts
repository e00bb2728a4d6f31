import { z } from 'zod'
import { type AnsweredRoute, operationsOf } from '../../http/api/routes.js'
import { json, type Operation } from '../../http/openapi/operation.js'
import type { McpParts } from './mcp-answers.js'
import type { McpEndpoint } from './mcp-endpoint.js'

/** The parts that answer the route. */
interface Mcp {
  readonly parts: McpParts
  readonly endpoint: McpEndpoint
}

const id = z.union([z.string(), z.number()])
const message = z.looseObject({
  jsonrpc: z.literal('2.0'),
  id: id.optional().describe('absent: a notification, which is answered 202'),
  method: z.string(),
  params: z.looseObject({}).optional()
})
const answer = z.looseObject({
  jsonrpc: z.literal('2.0'),
  id: id.nullable().optional(),
  result: z.looseObject({}).optional(),
  error: z.looseObject({ code: z.int(), message: z.string() }).optional()
})
const failure = (description: string) => ({ description, content: json(answer) })

const refusals: Operation['answers'] = {
  400: failure('The body is no message of the protocol, or is a list of messages'),
  401: failure('No credentials, or wrong ones'),
  403: failure(
    'No rule names the client, or the request comes from a web page of another site, or for an unknown host'
  ),
  404: failure('There is no such method'),
  406: failure('Accept does not name application/json and text/event-stream'),
  408: failure('The request comes too slowly'),
  413: failure('The body is too large'),
  415: failure('The body is not application/json'),
  429: failure('A quota is used up'),
  500: failure('The request failed unexpectedly'),
  503: failure('Overloaded, or shutting down')
}

const routes: Readonly<Record<string, AnsweredRoute<Mcp>>> = {
  message: {
    // The tools ask for the rights of the verbs that they use.
    verb: 'none',
    method: 'post',
    path: '/',
    summary: 'One message of the Model Context Protocol',
    description:
      'Agents list tools (`tools/list`) and call them (`tools/call`). There are no sessions, and no streams.',
    body: { description: 'A message of JSON-RPC', content: json(message), required: true },
    answers: {
      200: { description: 'The result, or an error of the protocol', content: json(answer) },
      202: { description: 'The message was a notification' }
    },
    receive: ({ endpoint }, exchange) => endpoint.receive(exchange)
  }
}

export const mcpOperations = operationsOf(routes, () => refusals)
