import type { IncomingMessage } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Door } from '../access/door.js'
import { refusalHeaders, refusalStatus } from '../access/refusals.js'
import { CastellanError, type ErrorCode } from '../errors.js'
import { toAddressKey } from './client-addresses.js'
import type { ReceivedRequest } from './received-request.js'

/** A connection that is gone has no address any more, and no request of it goes on. */
const GONE = 'gone'

/** Requests that came over the unix socket. Their socket has no address, but neither has one that is destroyed. */
const unixSocketRequests = new WeakSet<IncomingMessage>()

export const markUnixSocket = (request: IncomingMessage): void => void unixSocketRequests.add(request)

/**
 * Makes every request of a server go through the door before its body is read.
 *
 * @param isOpen requests that need not
 */
export function addDoor(app: FastifyInstance, door: Door, isOpen: (request: FastifyRequest) => boolean): void {
  app.addHook('onRequest', (request, _, done) => {
    if (isOpen(request)) {
      done()
      return
    }
    const { raw } = request
    const isUnixSocket = unixSocketRequests.has(raw)
    const visit = {
      request: raw,
      requestId: request.id,
      address: isUnixSocket ? '' : toAddressKey(raw.socket.remoteAddress ?? GONE),
      isUnixSocket,
      onEnd: (ended: () => void) => (raw as ReceivedRequest).whenOver(ended)
    }
    door.enter(visit, error => done(error))
  })
}

/** Makes every request of a scope need the right to `management`. To be added after the door. */
export function requireManagement(
  app: FastifyInstance,
  door: Door,
  isOpen: (request: FastifyRequest) => boolean
): void {
  app.addHook('onRequest', (request, _, done) => {
    done(isOpen(request) ? undefined : door.callerOf(request.raw).refusalOf('management'))
  })
}

/** Answers refusals outside of the dialects, which have error formats of their own. */
export function answerRefusal(
  error: FastifyError | CastellanError,
  { headers }: FastifyRequest,
  reply: FastifyReply
): void {
  const status = refusalStatus(error)
  if (status === undefined) throw error
  const body: { error: ErrorCode | undefined; message: string } = {
    error: error instanceof CastellanError ? error.code : undefined,
    message: error.message
  }
  // The body has not been read and will not be.
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) {
    reply.header('connection', 'close')
  }
  reply
    .code(status)
    .headers(refusalHeaders(error))
    .type('application/json; charset=utf-8')
    .send(`${JSON.stringify(body)}\n`)
}
