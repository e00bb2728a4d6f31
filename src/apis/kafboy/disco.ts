import { hostname } from 'node:os'
import type { Answers } from '../../http/exchange/answers.js'
import { collectBody } from '../../http/exchange/body-collector.js'
import { BufferPool } from '../../http/exchange/buffer-pool.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { isJsonType } from './content.js'
import { parseForm } from './form.js'
import { toJsonObject } from './form-json.js'

const JSON_TYPE = 'application/json; charset=utf-8'
const POOL_BYTES = 1024 * 1024

/** `/disco` and `/echo_post`: a POST is answered with its form as JSON, anything else with the name of this instance. */
export class Disco {
  readonly #answers: Answers
  readonly #maxBodyBytes: number
  readonly #pool = new BufferPool(POOL_BYTES)

  constructor(answers: Answers, maxBodyBytes: number) {
    this.#answers = answers
    this.#maxBodyBytes = maxBodyBytes
  }

  receive(exchange: Exchange): void {
    const { request, payload } = exchange
    if (request.method !== 'POST') {
      this.#send(exchange, 200, 'text/plain', instanceName(request.socket.localPort))
      return
    }
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, this.#maxBodyBytes, this.#pool, body => {
      if (body instanceof Error) return
      if (body === 'tooLarge') this.#send(exchange, 400, JSON_TYPE, '{"error":"no_body"}', { connection: 'close' })
      else this.#echo(exchange, body)
    })
  }

  #echo(exchange: Exchange, body: Buffer): void {
    const isJson = isJsonType(exchange.request.headers['content-type'])
    const echo = body.length === 0 ? '[]' : isJson ? body.toString() : formAsJson(body)
    if (echo === undefined) this.#send(exchange, 400, JSON_TYPE, '{"error":"invalid"}')
    else this.#send(exchange, 200, JSON_TYPE, echo)
  }

  #send(
    { response, requestId }: Exchange,
    status: number,
    type: string,
    body: string,
    headers?: Record<string, string>
  ): void {
    this.#answers.send(response, status, type, body, { requestId, persisted: undefined }, headers)
  }
}

function formAsJson(body: Buffer): string | undefined {
  const fields = parseForm(body)
  return fields?.length === 0 ? '[]' : fields && toJsonObject(fields)
}

/** What other instances could reach this one by. */
export const instanceName = (port: number | undefined): string => `${hostname()}${port === undefined ? '' : `:${port}`}`
