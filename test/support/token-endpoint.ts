import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { testCertificate, testKey } from './test-certificate.js'

export interface TokenRequest {
  readonly authorization: string | undefined
  readonly form: Readonly<Record<string, string>>
}

/** Answers one request for a token. */
export type TokenAnswer = (response: ServerResponse, request: TokenRequest) => void

/** A server on loopback that gives tokens, over TLS or not. */
export class TokenEndpoint {
  readonly requests: TokenRequest[] = []
  readonly url: string
  readonly #server: Server
  answer: TokenAnswer

  private constructor(server: Server, isTls: boolean, answer: TokenAnswer) {
    this.#server = server
    this.answer = answer
    this.url = `${isTls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/oauth/token`
    server.on('request', (request, response) => void this.#serve(request, response))
  }

  static async start(answer: TokenAnswer, { isTls = false } = {}): Promise<TokenEndpoint> {
    const server = isTls ? createTlsServer({ key: testKey, cert: testCertificate }) : createServer()
    await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
    return new TokenEndpoint(server, isTls, answer)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const form = Object.fromEntries(new URLSearchParams(body))
    const seen = { authorization: request.headers.authorization, form }
    this.requests.push(seen)
    this.answer(response, seen)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(closed => this.#server.close(closed))
  }
}

/** Answers with these fields as JSON. */
export const answering =
  (fields: object, status = 200): TokenAnswer =>
  response =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(fields))
