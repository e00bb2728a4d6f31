import { type Agent, type IncomingMessage, Agent as PlainAgent, request as requestPlain } from 'node:http'
import { request as requestTls, Agent as TlsAgent } from 'node:https'
import type { SchemasSettings } from './settings.js'

/** A call of the registry. */
export interface RegistryRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly body?: string | undefined
  /** Aborted at the deadline. */
  readonly signal: AbortSignal
}

export interface RegistryAnswer {
  readonly status: number
  /** Read only as far as an answer may be long. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Sends one request; rejects when there is no answer. Tests script it. */
export interface Transport {
  send(request: RegistryRequest): Promise<RegistryAnswer>
  close(): void
}

/** The contents of the files that `schemas.registry` names. */
export interface RegistryFiles {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json'
/**
 * Calls over HTTP, by connections that are kept open. No call waits for a connection, since such a wait would seem to be silence of
 * the registry. So the callers limit how many calls are made at a time.
 */
export function createTransport({ credentials }: SchemasSettings['registry'], files: RegistryFiles): Transport {
  const options = { keepAlive: true }
  const agents: readonly Agent[] = [new PlainAgent(options), new TlsAgent({ ...options, ...files })]
  const [plain, tls] = agents
  const headers = {
    accept: `${CONTENT_TYPE}, application/json`,
    'content-type': CONTENT_TYPE,
    ...authorization(credentials)
  }
  const send = ({ url, method, body, signal }: RegistryRequest): Promise<RegistryAnswer> =>
    new Promise((resolve, reject) => {
      const isTls = url.startsWith('https:')
      const onAnswer = (answer: IncomingMessage): void => resolve({ status: answer.statusCode!, body: answer })
      const request = isTls
        ? requestTls(url, { method, headers, signal, agent: tls }, onAnswer)
        : requestPlain(url, { method, headers, signal, agent: plain }, onAnswer)
      // The registry closed an idle connection as the call was sent. The call is sent again, until it gets a new connection.
      request.on('error', (error: NodeJS.ErrnoException) =>
        request.reusedSocket && error.code === 'ECONNRESET'
          ? resolve(send({ url, method, body, signal }))
          : reject(error)
      )
      request.end(body)
    })
  return {
    send,
    close: () => agents.forEach(agent => agent.destroy())
  }
}

function authorization(credentials: string | undefined): { authorization?: string } {
  if (credentials === undefined) return {}
  const isBasic = credentials.includes(':')
  return { authorization: isBasic ? `Basic ${Buffer.from(credentials).toString('base64')}` : `Bearer ${credentials}` }
}
