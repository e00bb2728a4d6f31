import { type CastellanError, UnauthenticatedError } from '../../core/errors.js'
import type { Shares } from '../../core/shares.js'
import { refusalStatus } from '../../http/access/access.js'
import type { ApiContext } from '../../http/api/api.js'
import { ApiError, type ErrorAnswer, ErrorAnswers } from '../../http/api/api-answers.js'
import type { EndpointBase, Receive } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import { JSON_TYPE, statusByCode } from '../../http/exchange/modern-answers.js'
import type { McpSettings } from './settings.js'

/** Codes of JSON-RPC. */
const INVALID_REQUEST = -32_600
const INTERNAL_ERROR = -32_603
/** Code for refusals by the transport. Source: `Method not allowed` in the official packages. */
const REFUSED = -32_000

/** Refusals as messages of JSON-RPC. */
export class McpAnswers extends ErrorAnswers {
  protected override readonly bug = new ApiError(500, 'internal error', { code: INTERNAL_ERROR })
  readonly #metadataUrl: string | undefined

  /** @param metadataUrl where clients learn who gives tokens. Absent: nowhere */
  constructor(log: ApiContext<McpSettings>['log'], metadataUrl?: string) {
    super(log)
    this.#metadataUrl = metadataUrl
  }

  protected write({ status, message, details }: ApiError): ErrorAnswer {
    const { code = status === 400 ? INVALID_REQUEST : REFUSED, members, headers } = details
    const body = { jsonrpc: '2.0', error: { code, message }, id: null, ...members }
    return { status, type: JSON_TYPE, body: JSON.stringify(body), headers }
  }

  protected toApiError(error: CastellanError): ApiError {
    const status = refusalStatus(error) ?? statusByCode[error.code as keyof typeof statusByCode]
    return new ApiError(status, error.message, { code: REFUSED, headers: this.#challenge(error) })
  }

  /** Source: RFC 9728, section 5.1. */
  #challenge(error: CastellanError): ErrorAnswer['headers'] {
    if (!(error instanceof UnauthenticatedError) || this.#metadataUrl === undefined) return undefined
    const named = `Bearer resource_metadata="${this.#metadataUrl}", realm=`
    return { 'www-authenticate': error.challenge.replace('Bearer realm=', named) }
  }
}

/** Parts that answer requests and tools. */
export interface McpParts
  extends EndpointBase,
    Pick<
      ApiContext<McpSettings>,
      | 'clock'
      | 'forMcp'
      | 'idempotency'
      | 'log'
      | 'metrics'
      | 'records'
      | 'refused'
      | 'schemas'
      | 'settings'
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
