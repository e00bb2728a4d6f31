import type { FastifyInstance } from 'fastify'
import { json, type Operation } from '../openapi/operation.js'
import { statusSchema } from '../status/status.js'
import type { StatusSource } from '../status/status-source.js'

/** No part of it may stay in a cache, or be taken for something else. */
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

export const STATUS_PATH = '/status.json'

export const statusOperation: Operation = {
  method: 'get',
  path: STATUS_PATH,
  id: 'status',
  summary: 'What is wrong with the gateway, and what waits',
  answers: { 200: { description: 'The status of all processes of the gateway', content: json(statusSchema) } }
}

/** `GET /status.json` of the management port. It needs the permission `management`, as `/metrics` does. */
export function addStatusRoute(app: FastifyInstance, source: StatusSource): void {
  app.get(STATUS_PATH, async (_, reply) => {
    const status = await source.status()
    return reply.headers(HEADERS).type('application/json; charset=utf-8').send(JSON.stringify(status))
  })
}
