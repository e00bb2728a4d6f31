import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, type RequestOptions, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { Argument, type Command, Option } from 'commander'
import { CommandError, EXIT_OK, UsageError } from '../command.js'
import { formatOption, notEmpty, wholeNumber } from '../options.js'

/** Flags of every command that sends requests to a server of Kafka-Pixy's API. */
export const pixyOptions = [
  new Option(
    '-a, --addr <ADDR>',
    'the server: HOST:PORT, a URL with the prefix of the API, or the path of a unix socket (default: 127.0.0.1:19092, and without a server there http://127.0.0.1:8080/pixy)'
  ).argParser(notEmpty),
  new Option('--cluster <NAME>', 'a cluster of the server (default: the default cluster of the server)').argParser(
    notEmpty
  ),
  new Option('--token-file <FILE>', 'file with the bearer token for the server').argParser(notEmpty),
  new Option('--timeout <SECONDS>', 'time limit for an answer of the server (default 90)').argParser(wholeNumber(1))
]

export const table = formatOption()
export const topic = new Argument('<TOPIC>').argParser(notEmpty)
export const group = new Argument('<GROUP>').argParser(notEmpty)

/** Where `castellan kafka-pixy` serves the API by default, and where `castellan serve` does. */
const DEFAULT_ADDRESSES = ['127.0.0.1:19092', 'http://127.0.0.1:8080/pixy']
/**
 * Default of `--timeout`. Kafka-Pixy holds a poll for 3 s by default, and a synchronous produce request for up to a
 * minute.
 */
const DEFAULT_TIMEOUT_SECONDS = 90
/** Maximum size of an answer, which is one message or a list of partitions. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** The flags of every `castellan pixy` command; see pixyOptions. */
export interface PixyFlags {
  readonly addr?: string
  readonly cluster?: string
  readonly timeout?: number
  readonly tokenFile?: string
}

export interface PixyAnswer {
  readonly status: number
  /** The pause in seconds that the server's `Retry-After` asks for. */
  readonly retryAfter: number | undefined
  readonly body: unknown
}

interface Call {
  readonly method?: 'GET' | 'POST'
  readonly query?: Readonly<Record<string, string | number | true | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
  readonly signal?: AbortSignal
}

interface Server {
  readonly address: string
  readonly target: RequestOptions
  readonly isSecure: boolean
  readonly prefix: string
}

/** Sends requests to a server of Kafka-Pixy's HTTP API, over TCP or a unix socket. It keeps one connection open. */
export class PixyClient {
  #server: Server
  /** Addresses that are asked in turn until one has a server. That one is kept. */
  #others: readonly string[]
  /** Addresses without a server. */
  readonly #empty: string[] = []
  readonly #timeoutMs: number
  readonly #path: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #agent: HttpAgent

  /** @throws UsageError when the address or the token cannot be used */
  constructor(line: Command, addresses: readonly string[] = DEFAULT_ADDRESSES) {
    const { addr, cluster, timeout = DEFAULT_TIMEOUT_SECONDS, tokenFile } = line.opts<PixyFlags>()
    const [first, ...others] = addr === undefined ? addresses : [addr]
    this.#server = toServer(first!)
    this.#others = others
    this.#timeoutMs = timeout * 1_000
    this.#path = `${cluster === undefined ? '' : `/clusters/${encodeURIComponent(cluster)}`}/topics/`
    this.#headers = tokenFile === undefined ? {} : { authorization: `Bearer ${readToken(tokenFile)}` }
    this.#agent = this.#server.isSecure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true })
  }

  /**
   * Sends a request about a topic: `ask('orders', 'offsets', {…})` is `GET /topics/orders/offsets`.
   *
   * @throws CommandError when no answer comes, or when another kind of server answers
   */
  ask(topic: string, what: string, call: Call = {}): Promise<PixyAnswer> {
    const { method = 'GET', query = {}, headers, body, signal } = call
    const { address, target, isSecure, prefix } = this.#server
    const path = `${prefix}${this.#path}${encodeURIComponent(topic)}/${what}${toQuery(query)}`
    const length = body === undefined ? {} : { 'content-length': String(body.length) }
    const options = {
      ...target,
      timeout: this.#timeoutMs,
      method,
      path,
      agent: this.#agent,
      headers: { ...this.#headers, ...length, ...headers }
    }
    return new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const [next, ...others] = this.#others
        const isNowhere = error.code === 'ECONNREFUSED' && (next !== undefined || this.#empty.length > 0)
        if (isNowhere) this.#empty.push(address)
        if (isNowhere && next !== undefined) {
          this.#server = toServer(next)
          this.#others = others
          resolve(this.ask(topic, what, call))
        } else if (isNowhere)
          reject(new CommandError(`no server at ${this.#empty.join(' or ')}; --addr names another address`))
        else reject(new CommandError(`${address}: ${error.message}`))
      }
      const request = (isSecure ? requestHttps : requestHttp)({ ...options, ...(signal && { signal }) }, response => {
        this.#others = []
        this.#empty.length = 0
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > MAX_ANSWER_BYTES) request.destroy(new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`))
          chunks.push(chunk)
        })
        response.on('error', fail)
        response.on('end', () => {
          const answer = toAnswer(response.statusCode!, response.headers['retry-after'], Buffer.concat(chunks))
          if (answer) resolve(answer)
          else
            fail(
              new Error(
                `the answer is not one of Kafka-Pixy's API (status ${response.statusCode}); --addr names the server`
              )
            )
        })
      })
      request.on('timeout', () => request.destroy(new Error(`no answer within ${this.#timeoutMs} ms (--timeout)`)))
      request.on('error', fail)
      request.end(body)
    })
  }

  /** Like {@link ask}, but throws a CommandError with the server's message for every status except 200. */
  async demand(topic: string, what: string, call: Call = {}): Promise<unknown> {
    const answer = await this.ask(topic, what, call)
    if (answer.status !== 200) throw refusal(answer)
    return answer.body
  }

  close(): void {
    this.#agent.destroy()
  }
}

export async function withPixyClient(line: Command, run: (client: PixyClient) => Promise<void>): Promise<number> {
  const client = new PixyClient(line)
  try {
    await run(client)
    return EXIT_OK
  } finally {
    client.close()
  }
}

export function refusal({ status, body }: PixyAnswer): CommandError {
  const { error, message } = (body ?? {}) as { error?: unknown; message?: unknown }
  const reasons = [error, message].filter(part => typeof part === 'string')
  return new CommandError(`${reasons.join(': ') || 'refused'} (status ${status})`)
}

/**
 *   127.0.0.1:19092                     TCP
 *     https://gateway.example:8443/pixy   a URL with the prefix of the API
 *   /run/kafka-pixy.sock                a unix socket
 */
function toServer(address: string): Server {
  const isPath = !/^https?:\/\//.test(address) && (address.includes('/') || !address.includes(':'))
  if (isPath) return { address, target: { socketPath: address, host: 'localhost' }, isSecure: false, prefix: '' }
  const text = /^https?:\/\//.test(address) ? address : `http://${address}`
  if (!URL.canParse(text))
    throw new UsageError(`--addr takes HOST:PORT, a URL or the path of a socket, not "${address}"`)
  const { hostname, port, protocol, pathname } = new URL(text)
  const isSecure = protocol === 'https:'
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const target = { host, port: port || (isSecure ? 443 : 80) }
  return { address, target, isSecure, prefix: pathname.replace(/\/+$/, '') }
}

export function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new UsageError(`--token-file: ${(error as Error).message}`)
  }
}

function toQuery(query: NonNullable<Call['query']>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === undefined) return []
    return value === true ? [name] : [`${name}=${encodeURIComponent(value)}`]
  })
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

function toAnswer(status: number, retryAfter: string | undefined, bytes: Buffer): PixyAnswer | undefined {
  try {
    const seconds = Number(retryAfter)
    return {
      status,
      retryAfter: seconds > 0 ? seconds : undefined,
      body: JSON.parse(bytes.toString('utf8')) as unknown
    }
  } catch {
    return undefined
  }
}
