import { type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import type { KafkajsSasl, SaslAuthenticationProvider } from 'kafkajs/src/network/connection.js'
import { UnavailableError } from '../core/errors.js'
import { type MonotonicClock, SECOND_MS } from '../core/model.js'
import type { SaslOptions } from './broker-client.js'

/** The options in the form of kafkajs. Each call creates a new object, because kafkajs writes into it. */
export function toKafkajsSasl(sasl: SaslOptions): KafkajsSasl {
  if (sasl.mechanism === 'oauthbearer') {
    return { mechanism: 'oauthbearer', authenticationProvider: oauthBearer(sasl) }
  }
  return { mechanism: sasl.mechanism, username: sasl.username, password: sasl.password }
}

/**
 * The mechanism OAUTHBEARER. A broker refuses a token with code 0 and a challenge that is not empty. kafkajs takes this
 * answer for a success. Source: RFC 7628, 3.1 and 3.2.2; KIP-255
 */
const oauthBearer =
  ({ token, refused }: SaslOptions & { mechanism: 'oauthbearer' }): SaslAuthenticationProvider =>
  ({ saslAuthenticate }) => ({
    async authenticate() {
      const value = typeof token === 'string' ? token : await token()
      const challenge = await saslAuthenticate({
        request: { encode: () => withLength(Buffer.from(`n,,\u0001auth=Bearer ${value}\u0001\u0001`)) },
        response: { decode: bytes => bytes, parse: bytes => bytes.subarray(4).toString() }
      }).catch(error => {
        refused?.(value)
        throw error
      })
      if (challenge === '') return
      refused?.(value)
      throw new UnavailableError('authenticationFailed', `the broker refuses the token: ${challenge}`)
    }
  })

function withLength(bytes: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(4 + bytes.length)
  framed.writeInt32BE(bytes.length)
  framed.set(bytes, 4)
  return framed
}

/** The token endpoint, and the credentials of the client. Source: RFC 6749, 4.4. */
export interface ClientCredentials {
  readonly tokenUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly scope?: string | undefined
  /** The certificate authorities to trust instead of Node's own list, in PEM. */
  readonly ca?: string | undefined
}

export interface GrantedToken {
  readonly token: string
  readonly lifetimeMs: number
}

/** Limit of an answer, larger than any answer with a token. A server at a wrong address may send an endless answer. */
const MAX_BYTES = 64 * 1024
/** The lifetime of a token when the endpoint does not report it. */
const DEFAULT_LIFETIME_S = 300
/** The syntax of a bearer token. Source: RFC 6750, 2.1. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/
export const isBearerToken = (text: string): boolean => TOKEN.test(text)
/** The syntax of an error code of an endpoint. Logs show no other part of its answer. */
const ERROR_CODE = /^[a-z_]{1,40}$/

/** The reasons by Node's error code. */
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
 * Asks for a token once. Redirects are not followed, because only the configured address may get the secret.
 *
 * @throws UnavailableError with the reason in one line, without any secret
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
  if (typeof token !== 'string' || !isBearerToken(token)) {
    throw noToken('issuerUnreachable', where, 'its answer has no access_token that is valid')
  }
  const lifetimeS = Number(expiresIn)
  if (!(lifetimeS > 0)) throw noToken('issuerUnreachable', where, 'its answer has no valid expires_in')
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

/** RFC 6749 requires client id and secret to be encoded like form fields. */
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

const RENEWED_AT_SHARE_OF_LIFE = 0.8
/** Pause after a failed request for a token. Logins during the pause fail at once. */
const PAUSE_AFTER_FAILURE_MS = 1_000

/**
 * The token with which all connections of a cluster log in. The first login requests a token. Later logins reuse it,
 * until a login after most of its lifetime requests a new token. Concurrent logins share one request. When a request
 * fails, the old token is used until it expires.
 */
export class SharedToken {
  readonly #request: () => Promise<GrantedToken>
  readonly #clock: MonotonicClock
  #token: string | undefined
  #renewAt = 0
  #endsAt = 0
  #requesting: Promise<void> | undefined
  #failure: { readonly error: Error; readonly until: number } | undefined

  constructor(request: () => Promise<GrantedToken>, clock: MonotonicClock) {
    this.#request = request
    this.#clock = clock
  }

  /** @throws the error of the request when there is no valid token */
  readonly get = async (): Promise<string> => {
    if (this.#token === undefined || this.#clock() >= this.#renewAt) await this.#renew()
    if (this.#token !== undefined && this.#clock() < this.#endsAt) return this.#token
    throw this.#failure?.error ?? new Error('the token had expired when it arrived')
  }

  /** Drops a token that a broker has refused, so that the next login requests a new token. */
  readonly refused = (token: string): void => {
    if (this.#token === token) this.#token = undefined
  }

  #renew(): Promise<void> {
    if (this.#failure !== undefined && this.#clock() < this.#failure.until) return Promise.resolve()
    this.#requesting ??= this.#requestOnce().finally(() => {
      this.#requesting = undefined
    })
    return this.#requesting
  }

  async #requestOnce(): Promise<void> {
    const askedAt = this.#clock()
    try {
      const { token, lifetimeMs } = await this.#request()
      this.#token = token
      this.#renewAt = askedAt + lifetimeMs * RENEWED_AT_SHARE_OF_LIFE
      this.#endsAt = askedAt + lifetimeMs
      this.#failure = undefined
    } catch (error) {
      this.#failure = { error: error as Error, until: this.#clock() + PAUSE_AFTER_FAILURE_MS }
    }
  }
}
