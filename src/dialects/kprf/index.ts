import type { FastifyReply, FastifyRequest } from 'fastify'
import { refusalStatus } from '../../access/refusals.js'
import type { KprfSettings } from '../../config/kprf-settings.js'
import { CastellanError } from '../../errors.js'
import type { Dialect, DialectContext } from '../dialect.js'
import { addPersistedHeader } from '../produce-answers.js'
import { Admissions } from './admission.js'
import { PushEndpoint } from './endpoint.js'
import { Following } from './following.js'
import { KprfMetrics } from './kprf-metrics.js'
import { Push } from './push.js'
import { RateLimiter } from './rate-limiter.js'
import { Responder } from './responses.js'

/**
 * The API of kprf, the Kafka producer proxy in Rust: `POST /push`.
 *
 * Its differences to the original are in docs/compatibility/kprf.md.
 */
export const kprf: Dialect<KprfSettings> = {
  name: 'kprf',
  source: 'kprf 0.2.4 (lartie/kafka-proxy fd32acc)',
  prefix: '/kprf',
  plugin: async (app, context) => {
    const endpoint = createEndpoint(context, app.initialConfig.bodyLimit ?? context.settings.maxBodyBytes)
    const isPush = pushPaths(app.prefix)
    addPersistedHeader(app, ({ method, raw }) => method === 'POST' && isPush(raw.url ?? ''))
    app.addHook('onRequest', (request, reply, done) => {
      if (!isPush(request.raw.url ?? '')) reply.code(404).send()
      else if (request.method !== 'POST') sendMethodNotAllowed(reply)
      else done()
    })
    // Read and answered here, by hand: that saves a parsed content type, an async resource and copies per request.
    app.addHook('preParsing', (request, reply, payload) => {
      reply.hijack()
      endpoint.receive(request.raw, reply.raw, payload, request.id)
    })
    for (const path of ['/push', '/push/']) app.post(path, answeredBefore)
    app.setNotFoundHandler(answeredBefore)
    app.setErrorHandler((error, request, reply) => answerError(endpoint, error, request, reply))
  }
}

function createEndpoint(
  { gateway, access, settings, metrics, log, now }: DialectContext<KprfSettings>,
  maxBodyBytes: number
): PushEndpoint {
  const clock = (): number => performance.now()
  const counted = new KprfMetrics(metrics)
  const admissions = new Admissions(settings.messageMaxBytes, new RateLimiter(settings.ratelimit), counted, now)
  const push = new Push(gateway, admissions, new Following(counted, log), settings, clock)
  const responder = new Responder(now)
  return new PushEndpoint(settings, maxBodyBytes, { push, access, responder, metrics: counted, log, clock })
}

/**
 * kprf compares the path as it was sent: nothing is decoded, doubled slashes count, case counts. Fastify's router is
 * more generous.
 */
function pushPaths(prefix: string): (url: string) => boolean {
  const path = `${prefix}/push`
  const pattern = new RegExp(`^(?:https?://[^/]*)?${path.replace(/[^\w/-]/g, '\\$&')}/?(?:[?#]|$)`)
  return url => url === path || pattern.test(url)
}

const sendMethodNotAllowed = (reply: FastifyReply): void => {
  reply.code(405).type('text/plain; charset=utf-8').send('HTTP method not allowed')
}

/** Never called: hooks have answered. */
const answeredBefore = (): void => {}

function answerError(
  endpoint: PushEndpoint,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply
): FastifyReply | undefined {
  if (!(error instanceof CastellanError) || refusalStatus(error) === undefined) throw error
  reply.hijack()
  endpoint.refuse({ request: request.raw, response: reply.raw, requestId: request.id }, error)
  return undefined
}
