import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, type ErrorCode } from '../../core/errors.js'
import { type IncomingRequest, refusalHeaders, refusalStatus } from '../access/access.js'
import type { RequestAccess } from '../access/request-access.js'
import { type EngineRequest, engineRequest } from '../engine/request.js'

type IsOpen = (request: FastifyRequest) => boolean

/**
 * Passes every request of a server through the access checks before its body is read.
 *
 * @param isExempt quotas do not apply to its requests
 */
export function addAccessHooks(
  app: FastifyInstance,
  requestAccess: RequestAccess,
  isOpen: IsOpen,
  isExempt: boolean
): void {
  app.addHook('onRequest', (request, _, done) => {
    if (isOpen(request)) done()
    else requestAccess.enter(new IncomingHttpRequest(engineRequest(request.raw), request.id, isExempt), done)
  })
}

class IncomingHttpRequest implements IncomingRequest {
  readonly request: EngineRequest
  readonly requestId: string
  readonly isExempt: boolean

  constructor(request: EngineRequest, requestId: string, isExempt: boolean) {
    this.request = request
    this.requestId = requestId
    this.isExempt = isExempt
  }

  get authorization(): string | undefined {
    return this.request.headers.authorization
  }

  get socket(): Socket {
    return this.request.socket
  }

  get address(): string {
    return this.request.holder.address.key
  }

  get peer(): string {
    return this.isUnixSocket ? 'unix' : (this.socket.remoteAddress ?? this.address)
  }

  get isUnixSocket(): boolean {
    return this.request.guard.isOfUnixSocket
  }

  onEnd(ended: () => void): void {
    this.request.whenOver(ended)
  }

  hold(): void {
    this.request.hold()
  }

  letGo(): void {
    this.request.letGo()
  }
}

/** Requires the permission `management` for every request of a scope. To be added after the access checks. */
export function requireManagement(app: FastifyInstance, requestAccess: RequestAccess, isOpen: IsOpen): void {
  app.addHook('onRequest', (request, _, done) => {
    done(isOpen(request) ? undefined : requestAccess.callerOf(request.raw).refusalOf('management'))
  })
}

/** Hook for routes that name no topic: refuses clients to which no rule gives anything. Must be added after the access checks. */
export const requireRule =
  (requestAccess: RequestAccess | undefined): onRequestHookHandler =>
  (request, _, done) =>
    done(requestAccess?.callerOf(request.raw).refusalOfUnruled())

/** Answers refusals outside of the APIs; those have error formats of their own. @param send answers in another format than JSON */
export function answerRefusal(
  error: FastifyError | CastellanError,
  { headers }: FastifyRequest,
  reply: FastifyReply,
  send?: (status: number, message: string) => void
): void {
  const status = refusalStatus(error)
  if (status === undefined) throw error
  const body: { error: ErrorCode | undefined; message: string } = {
    error: error instanceof CastellanError ? errorCodeOf(error) : undefined,
    message: error.message
  }
  // The body has not been read and will not be read.
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) {
    reply.header('connection', 'close')
  }
  reply.headers(refusalHeaders(error))
  if (send === undefined) sendJson(reply, status, body)
  else send(status, error.message)
}

export const JSON_UTF8_TYPE = 'application/json; charset=utf-8'

export const sendJson = (reply: FastifyReply, status: number, body: object): FastifyReply =>
  reply
    .code(status)
    .type(JSON_UTF8_TYPE)
    .send(`${JSON.stringify(body)}\n`)

export const deny = (reply: FastifyReply, status: number, error: string, message: string): FastifyReply =>
  sendJson(reply, status, { error, message })
