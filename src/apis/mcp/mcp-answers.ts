import { CastellanError, StacklessError, UnauthenticatedError } from '../../core/errors.js'
import type { Shares } from '../../core/shares.js'
import { refusalStatus } from '../../http/access/access.js'
import type { ApiContext } from '../../http/api/api.js'
import { type ErrorAnswer, ErrorAnswers } from '../../http/api/api-answers.js'
import type { EndpointBase, Receive } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import { JSON_TYPE, statusByCode } from '../../http/exchange/modern-answers.js'
import type { McpSettings } from './settings.js'

/** Codes of JSON-RPC. */
const INVALID_REQUEST = -32_600
const INTERNAL_ERROR = -32_603
/** Of the transport. Source: `Method not allowed` in the official packages. */
const REFUSED = -32_000

/** A request is refused before the protocol sees it. */
export class McpProblem extends StacklessError {
  readonly status: number
  readonly code: number
  /** Of the request that is answered; `null`: it is not known. */
  readonly id: string | number | null

  constructor(
    status: number,
    message: string,
    code = status === 400 ? INVALID_REQUEST : REFUSED,
    id: McpProblem['id'] = null
  ) {
    super(message)
    this.status = status
    this.code = code
    this.id = id
  }
}

/** Refusals as messages of JSON-RPC. */
export class McpAnswers extends ErrorAnswers {
  protected readonly bug = new McpProblem(500, 'internal error', INTERNAL_ERROR)
  readonly #metadataUrl: string | undefined

  /** @param metadataUrl where clients learn who gives tokens. Absent: nowhere */
  constructor(log: ApiContext<McpSettings>['log'], metadataUrl?: string) {
    super(log)
    this.#metadataUrl = metadataUrl
  }

  answerTo(error: unknown): ErrorAnswer | undefined {
    if (error instanceof McpProblem) return problem(error.status, error.code, error.message, error.id)
    if (!(error instanceof CastellanError)) return undefined
    const status = refusalStatus(error) ?? statusByCode[error.code as keyof typeof statusByCode]
    return { ...problem(status, REFUSED, error.message), headers: this.#challenge(error) }
  }

  /** Source: RFC 9728, section 5.1. */
  #challenge(error: CastellanError): ErrorAnswer['headers'] {
    if (!(error instanceof UnauthenticatedError) || this.#metadataUrl === undefined) return undefined
    const named = `Bearer resource_metadata="${this.#metadataUrl}", realm=`
    return { 'www-authenticate': error.challenge.replace('Bearer realm=', named) }
  }
}

const problem = (status: number, code: number, message: string, id: McpProblem['id'] = null): ErrorAnswer => ({
  status,
  type: JSON_TYPE,
  body: JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id })
})

/** What requests and tools are answered with. */
export interface McpParts
  extends EndpointBase,
    Pick<
      ApiContext<McpSettings>,
      | 'clock'
      | 'findRecord'
      | 'idempotency'
      | 'log'
      | 'metrics'
      | 'records'
      | 'refused'
      | 'schemas'
      | 'settings'
      | 'trouble'
      | 'verbsByCluster'
    > {
  readonly answers: McpAnswers
  readonly pool: BufferPool
  readonly version: string
  /** Writes the record of a call. `undefined`: agents write none. */
  readonly produce: Receive | undefined
  /** Searches for records: each reads up to 16 MiB from Kafka. */
  readonly searches: Shares
}
