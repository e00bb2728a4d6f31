import { isUtf8 } from 'node:buffer'
import type { z } from 'zod'
import { ForbiddenError } from '../../../core/errors.js'
import type { Operation, Target } from '../../../http/access/access.js'
import { type Exchange, hasBody } from '../../../http/exchange/exchange.js'
import { callerOf, charsetProblemOf, type Params, refusalOf } from '../endpoint-parts.js'
import { readSmallBody } from '../look-up.js'
import { charsetOf } from '../media-types.js'
import { BodyError } from '../record-bytes.js'
import type { ConfluentSettings } from '../settings.js'
import type { Resource } from './resources.js'
import type { Cluster, V3LookUps } from './v3-look-ups.js'

/** Permission and bodies of requests that change something, by version 3. */
export class ChangeRequests {
  readonly lookUps: V3LookUps
  readonly #administration: ConfluentSettings['administration']

  constructor(lookUps: V3LookUps, administration: ConfluentSettings['administration']) {
    this.lookUps = lookUps
    this.#administration = administration
  }

  /** Refuses the request where changes are off. Where no rules say who may, only those may who reach the API's own port. */
  isServed(exchange: Exchange): boolean {
    const { parts } = this.lookUps
    const isOwnPort = (exchange.request as { originalUrl?: string }).originalUrl !== undefined
    const isServed =
      this.#administration !== 'off' &&
      (isOwnPort || this.#administration === 'everywhere' || callerOf(parts, exchange).isRuled)
    if (isServed) return true
    const why = 'changes are off on this port; a rule of access or apis.confluent.administration allows them'
    parts.answers.refuse(exchange, new ForbiddenError(why), !hasBody(exchange))
    return false
  }

  /**
   * Refuses the request if changes are switched off, or if the client may not make this change. To be called before the body
   * is read.
   */
  admits(exchange: Exchange, operation: Operation, target: Target): boolean {
    if (!this.isServed(exchange)) return false
    const { parts } = this.lookUps
    const refusal = refusalOf(parts, exchange, operation, target)
    if (refusal !== undefined) parts.answers.refuse(exchange, refusal, !hasBody(exchange))
    return refusal === undefined
  }

  /** Makes a change, and answers 204. */
  change(exchange: Exchange, params: Params, work: (cluster: Cluster) => Promise<void>): void {
    this.lookUps.work(exchange, params, async cluster => {
      await work(cluster)
      this.lookUps.parts.answers.noContent(exchange)
      return undefined
    })
  }

  /** Reads the body of a request, then does the work. */
  changeBy<Body>(
    exchange: Exchange,
    params: Params,
    schema: z.ZodType<Body>,
    work: (cluster: Cluster, body: Body) => Promise<Resource | undefined>
  ): void {
    this.read(exchange, schema, body => this.lookUps.work(exchange, params, cluster => work(cluster, body)))
  }

  /** @param use may throw a BodyError */
  read<Body>(exchange: Exchange, schema: z.ZodType<Body>, use: (body: Body) => void): void {
    const { headers } = exchange.request
    const charset = charsetOf(headers['content-type'])
    // Without a body there is nothing whose type could be wrong.
    const problem = hasBody(exchange) ? charsetProblemOf(charset) : undefined
    if (problem !== undefined) {
      this.lookUps.parts.answers.error(exchange, problem, { isRead: false })
      return
    }
    readSmallBody(this.lookUps.parts, exchange, bytes => {
      const isLatin1 = charset === 'latin1'
      if (!isLatin1 && !isUtf8(bytes)) throw new BodyError(400, 'the body is not valid UTF-8')
      use(parsedBody(bytes.toString(isLatin1 ? 'latin1' : 'utf8'), schema))
    })
  }
}

/** @throws BodyError */
function parsedBody<Body>(text: string, schema: z.ZodType<Body>): Body {
  if (text === '') throw new BodyError(422, 'the body is empty')
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new BodyError(400, 'the body is not JSON')
  }
  const { data, error } = schema.safeParse(json)
  if (error === undefined) return data
  const [{ code, path, message }] = error.issues as [z.core.$ZodIssue]
  const status = code === 'unrecognized_keys' ? 422 : 400
  throw new BodyError(status, `${path.join('.') || 'the body'}: ${message}`)
}
