import { z } from 'zod'
import { consumerOptions } from '../../consumer/group/settings.js'
import { brokerAddress, bytes } from '../../core/settings/units.js'
import { clusterSettings } from '../../kafka/settings.js'
import { walOptions } from '../../producer/log/settings.js'
import { deliveryOptions } from '../../producer/memory/settings.js'
import { routerOptions } from '../../router/routing/settings.js'

const { clientId, connectTimeoutMs, requestTimeoutMs, maxThrottleMs } = clusterSettings.shape

/** The brokers as a list, whether they were given as a list or as text. */
const brokers = z
  .union([z.string(), z.array(z.string())])
  .transform(given => (typeof given === 'string' ? given.split(',') : given).map(text => text.trim()))
  .pipe(z.array(brokerAddress))
  .refine(list => list.length > 0, { error: 'name at least one broker, as HOST:PORT' })

const login = z.strictObject({
  mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
  username: z.string(),
  password: z.string()
})

const bearer = z.strictObject({
  mechanism: z.literal('oauthbearer'),
  token: z.union([z.string(), z.custom<() => Promise<string>>(isFunction)]),
  refused: z.custom<(token: string) => void>(isFunction).optional()
})

const connection = z
  .strictObject({
    clientId,
    connectTimeoutMs,
    requestTimeoutMs,
    maxThrottleMs,
    maxResponseBytes: bytes.optional(),
    tls: z.looseObject({}).optional(),
    sasl: z.discriminatedUnion('mechanism', [login, bearer]).optional().meta({ secret: true })
  })
  .prefault({})

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

/** Objects and functions of the caller, which are not checked. */
const given = z.unknown().optional()

/** The options of `openCastellan`. */
export const openOptions = z.strictObject({
  brokers,
  connection,
  router: routerOptions,
  delivery: deliveryOptions,
  wal: walOptions,
  consumer: consumerOptions,
  metrics: given,
  log: given,
  system: given,
  decompressedMemory: given,
  onFatal: given
})
