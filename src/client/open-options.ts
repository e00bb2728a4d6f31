import { z } from 'zod'
import { consumerOptions } from '../consumer/group/settings.js'
import { ConfigError } from '../core/errors.js'
import type { BrokerAddress } from '../core/model.js'
import { printable } from '../core/printable.js'
import { brokerAddress, bytes, functionOf, milliseconds } from '../core/settings/units.js'
import { guardedLog, guardedMetrics } from '../core/users-code.js'
import { clusterSettings, lowerCase } from '../kafka/settings.js'
import { walOptions } from '../producer/log/settings.js'
import { deliveryOptions } from '../producer/memory/settings.js'
import { receiptOptions } from '../producer/receipts/settings.js'
import { routerOptions } from '../router/routing/settings.js'
import type { OpenCastellanOptions } from './castellan.js'
import { peersOptions } from './peers-options.js'

const { clientId, connectTimeoutMs, requestTimeoutMs } = clusterSettings.shape

/** Accepts the brokers as a list or as a text, and turns them into a list. */
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

/** The mechanism chooses the other fields, so it is written in small letters before they are looked at. */
const sasl = z.preprocess(
  given => {
    const { mechanism } = (given ?? {}) as { readonly mechanism?: unknown }
    const lower = lowerCase(mechanism)
    return lower === mechanism ? given : { ...(given as object), mechanism: lower }
  },
  z.discriminatedUnion('mechanism', [login, bearer])
)

const connection = z
  .strictObject({
    clientId,
    connectTimeoutMs,
    requestTimeoutMs,
    maxThrottleMs: milliseconds.optional(),
    maxResponseBytes: bytes.optional(),
    tls: z
      .custom<object>(value => typeof value === 'object' && value !== null, {
        error: 'expected an object; {} accepts brokers whose certificates Node trusts'
      })
      .optional(),
    sasl: sasl.optional().meta({ secret: true })
  })
  .prefault({})

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

/** An object of the caller with these methods. Nothing else of it is checked. */
const having = (...methods: readonly string[]) =>
  z
    .custom<object>(value => methods.every(method => isFunction((value as Record<string, unknown> | null)?.[method])), {
      error: `expected an object with ${methods.join(', ')}`
    })
    .optional()

export const openOptions = z.strictObject({
  brokers,
  connection,
  router: routerOptions,
  delivery: deliveryOptions,
  wal: walOptions,
  receipts: receiptOptions,
  consumer: consumerOptions,
  peers: peersOptions,
  metrics: having('count', 'time'),
  log: having('debug', 'info', 'warn', 'error'),
  system: having('spawnOwner', 'stop'),
  decompressedMemory: having('hold', 'touch'),
  onFatal: functionOf<(error: Error) => void>().optional()
})

export type OpenSettings = z.output<typeof openOptions>

/**
 * `kafka-1:9092` => `{host: 'kafka-1', port: 9092}`; the brackets of an IPv6 host are removed.
 *
 * @throws ConfigError for anything else
 */
export function toBrokerAddress(text: string): BrokerAddress {
  const [, host, port] = text.trim().match(/^([^@/]+):(\d{1,5})$/) ?? []
  if (host === undefined || Number(port) > 65_535) throw new ConfigError(`write brokers as HOST:PORT${notAs(text)}`)
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

/** Repeats the text for the error message. A text with an @ may contain a password, so it is not repeated. */
const notAs = (text: string): string => (text.includes('@') ? ', without a user name' : `, not "${printable(text)}"`)

/** The options with loggers that never throw. */
export const withGuards = ({ log, metrics, ...options }: OpenCastellanOptions): OpenCastellanOptions => ({
  ...options,
  log: log && guardedLog(log),
  metrics: metrics && guardedMetrics(metrics)
})
