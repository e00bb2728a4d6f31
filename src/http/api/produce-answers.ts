import type { FastifyInstance, FastifyRequest } from 'fastify'
import { PERSISTED_HEADER } from '../../gateway/persisted.js'

/**
 * Makes Fastify's answers to produce requests carry the header {@link PERSISTED_HEADER}, also those that the API did
 * not write itself. Without a word from the API the header is `no` as long as no handler has run, for then no record
 * was accepted, and `unknown` afterwards.
 *
 * An answer that is written past Fastify (`reply.hijack()`) must name the header itself.
 */
export function addPersistedHeader(scope: FastifyInstance, isProduce: (request: FastifyRequest) => boolean): void {
  const handled = new WeakSet<FastifyRequest>()
  scope.addHook('preHandler', (request, _reply, done) => {
    handled.add(request)
    done()
  })
  scope.addHook('onSend', (request, reply, payload, done) => {
    if (!reply.hasHeader(PERSISTED_HEADER) && isProduce(request)) {
      reply.header(PERSISTED_HEADER, handled.has(request) ? 'unknown' : 'no')
    }
    done(null, payload)
  })
}
