import type { IncomingMessage } from 'node:http'
import { request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { UnavailableError } from '../core/errors.js'

/** The token endpoint, and the client that asks it. Source: RFC 6749, 4.4. */
export interface ClientCredentials {
  readonly tokenUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly scope?: string | undefined
  /** PEM of the authorities to trust instead of Node's own list. */
  readonly ca?: string | undefined
}

export interface GrantedToken {
  readonly token: string
  readonly lifetimeMs: number
}

/** Larger than any answer with a token. A wrong address might answer without end. */
const MAX_BYTES = 64 * 1024
/** For endpoints that do not tell how long a token is valid. */
const DEFAULT_LIFETIME_S = 300
const SECOND_MS = 1_000
/** The characters that a bearer token is made of. Source: RFC 6750, 2.1. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/
/** An error code as endpoints answer it; whatever else they say is not repeated. */
const ERROR_CODE = /^[a-z_]{1,40}$/

/** By Node's error code. */
const reasons: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'connection refused; is it running there?'],
  ['ENOTFOUND', 'the host name cannot be resolved; is it spelt right?'],
  ['EPROTO', 'it does not speak TLS on this port'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is self-signed; name the authority with sasl.tokenCaFile'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'its authority is not trusted; name it with sasl.tokenCaFile'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'its authority is not trusted; name it with sasl.tokenCaFile'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'its authority is not trusted; name it with sasl.tokenCaFile'],
  ['CERT_HAS_EXPIRED', 'its certificate has expired'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'its certificate is for other names']
])

/**
 * Asks for a token once. Redirects are not followed: the address in the configuration is the one that may see the secret.
 *
 * @throws UnavailableError saying in one line, without any secret, why there is none
 */
export async function requestToken(credentials: ClientCredentials, timeoutMs: number): Promise<GrantedToken> {
  const url = new URL(credentials.tokenUrl)
  const where = `${url.origin}${url.pathname}`
  let answer: { readonly status: number; readonly body: string }
  try {
    answer = await post(url, credentials, timeoutMs)
  } catch (error) {
    throw noToken('issuerUnreachable', where, reasonOf(error as NodeJS.ErrnoException, timeoutMs))
  }
  const { status, body } = answer
  const fields = fieldsOf(body)
  if (status !== 200) {
    const code = typeof fields.error === 'string' && ERROR_CODE.test(fields.error) ? ` (${fields.error})` : ''
    const isRefusal = status >= 400 && status < 500 && status !== 429
    throw noToken(isRefusal ? 'authenticationFailed' : 'issuerUnreachable', where, `it answered ${status}${code}`)
  }
  const { access_token: token, expires_in: expiresIn = DEFAULT_LIFETIME_S } = fields
  if (typeof token !== 'string' || !TOKEN.test(token)) {
    throw noToken('issuerUnreachable', where, 'its answer has no access_token that could be sent')
  }
  const lifetimeS = Number(expiresIn)
  if (!(lifetimeS > 0)) throw noToken('issuerUnreachable', where, 'its answer has an expires_in that is no time')
  return { token, lifetimeMs: lifetimeS * SECOND_MS }
}

const noToken = (code: 'issuerUnreachable' | 'authenticationFailed', where: string, reason: string): UnavailableError =>
  new UnavailableError(code, `no token from ${where}: ${reason}`, undefined, `no token for the broker: ${reason}`)

function reasonOf({ name, code = '', message }: NodeJS.ErrnoException, timeoutMs: number): string {
  if (name === 'TimeoutError' || name === 'AbortError') return `no answer within ${timeoutMs} ms`
  const reason = reasons.get(code)
  return reason === undefined ? message.split('\n')[0] || code : `${reason} (${code})`
}

function fieldsOf(body: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body)
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function post(url: URL, credentials: ClientCredentials, timeoutMs: number): Promise<{ status: number; body: string }> {
  const { clientId, clientSecret, scope, ca } = credentials
  const body = new URLSearchParams({ grant_type: 'client_credentials', ...(scope !== undefined && { scope }) })
  const login = Buffer.from(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`).toString('base64')
  const options = {
    method: 'POST',
    signal: AbortSignal.timeout(timeoutMs),
    agent: false,
    headers: {
      authorization: `Basic ${login}`,
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded'
    }
  } as const
  return new Promise((resolve, reject) => {
    const answered = (response: IncomingMessage): void => {
      textOf(response).then(text => resolve({ status: response.statusCode ?? 0, body: text }), reject)
    }
    const request =
      url.protocol === 'https:'
        ? requestTls(url, { ...options, ...(ca !== undefined && { ca }) }, answered)
        : requestPlain(url, options, answered)
    request.on('error', reject)
    request.end(body.toString())
  })
}

/** As form fields are written, which the specification wants of both halves of the login. */
const formEncoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1)

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of response) {
    sizeBytes += (chunk as Buffer).length
    if (sizeBytes > MAX_BYTES) throw new Error(`its answer is larger than ${MAX_BYTES} bytes`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}
