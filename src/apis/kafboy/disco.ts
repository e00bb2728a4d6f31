import { hostname } from 'node:os'
import type { Answers } from '../../http/exchange/answers.js'
import { BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { isJsonType, parseForm, toJsonObject } from './content.js'

const JSON_TYPE = 'application/json; charset=utf-8'
const POOL_BYTES = 1024 * 1024

/** Answers `/disco` and `/echo_post`: a POST with its form as JSON, anything else with the name of this instance. */
export function discoOf(answers: Answers, maxBodyBytes: number): (exchange: Exchange) => void {
  const pool = new BufferPool(POOL_BYTES)
  return ({ request, response, requestId, payload }) => {
    const send = (status: number, type: string, body: string, headers?: Record<string, string>): void =>
      answers.send(response, status, type, body, { requestId, persisted: undefined }, headers)
    if (request.method !== 'POST') {
      const { localPort: port } = request.socket
      // The address by which other instances could reach this one.
      send(200, 'text/plain', `${hostname()}${port === undefined ? '' : `:${port}`}`)
      return
    }
    const isJson = isJsonType(request.headers['content-type'])
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, maxBodyBytes, pool, body => {
      if (body instanceof Error) return
      const echo = body === 'tooLarge' ? undefined : isJson && body.length > 0 ? body.toString() : formAsJson(body)
      if (body === 'tooLarge') send(400, JSON_TYPE, '{"error":"no_body"}', { connection: 'close' })
      else if (echo === undefined) send(400, JSON_TYPE, '{"error":"invalid"}')
      else send(200, JSON_TYPE, echo)
    })
  }
}

function formAsJson(body: Buffer): string | undefined {
  const fields = parseForm(body)
  return fields?.length === 0 ? '[]' : fields && toJsonObject(fields)
}
