import { hostname } from 'node:os'
import type { Answers } from '../../http/exchange/answers.js'
import { BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { isJsonType, parseForm, toJsonObject } from './content.js'

const JSON_TYPE = 'application/json; charset=utf-8'
const POOL_BYTES = 1024 * 1024

/**
 * `/disco` and `/echo_post`: a POST is answered with its form as JSON, anything else with the name of this instance.
 */
export class Disco {
  readonly #answers: Answers
  readonly #maxBodyBytes: number
  readonly #pool = new BufferPool(POOL_BYTES)

  constructor(answers: Answers, maxBodyBytes: number) {
    this.#answers = answers
    this.#maxBodyBytes = maxBodyBytes
  }

  receive({ request, response, requestId, payload }: Exchange): void {
    const send = (status: number, type: string, body: string, headers?: Record<string, string>): void =>
      this.#answers.send(response, status, type, body, { requestId, persisted: undefined }, headers)
    if (request.method !== 'POST') {
      send(200, 'text/plain', instanceName(request.socket.localPort))
      return
    }
    const isJson = isJsonType(request.headers['content-type'])
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, this.#maxBodyBytes, this.#pool, body => {
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

/** The address by which other instances could reach this one. */
const instanceName = (port: number | undefined): string => `${hostname()}${port === undefined ? '' : `:${port}`}`
