import { SECOND_MS } from '../../../core/model.js'
import { Findings, type ForeignConfiguration, type Keys, type Translation, whole } from '../../api-command.js'
import {
  brokers,
  type Properties,
  type Reasons,
  readProperties,
  type SecurityKeys,
  translateProperties
} from '../../kafka-properties.js'

const COMMAND = 'castellan strimzi'
const STRIMZI = 'apis.strimzi'
const DEFAULT_HOST = '0.0.0.0'
const DEFAULT_PORT = 8_080
const DEFAULT_TLS_PORT = 8_443

/** The words of Kafka for `router.isolationLevel`. */
const ISOLATION: ReadonlyMap<string, string> = new Map([
  ['read_committed', 'readCommitted'],
  ['read_uncommitted', 'readUncommitted']
])

const isTrue = (text: string | undefined): boolean => text?.trim().toLowerCase() === 'true'
const seconds = (text: string): unknown => {
  const number = whole(text)
  if (typeof number !== 'number') return number
  return number < 0 ? undefined : number * SECOND_MS
}

const WHOLE = 'the API is served as a whole: apis.strimzi.enabled'
const OWN_EXECUTOR = 'there is no pool of threads'

const KEYS: Keys = {
  'bridge.id': { setting: `${STRIMZI}.bridgeId` },
  'kafka.bootstrap.servers': { setting: 'clusters.default.brokers', read: brokers },
  'kafka.client.id': { setting: 'clusters.default.clientId' },
  'kafka.producer.client.id': { setting: 'clusters.default.clientId' },
  'kafka.producer.compression.type': { setting: 'delivery.compression' },
  'kafka.producer.delivery.timeout.ms': { setting: `${STRIMZI}.syncTimeoutMs`, read: whole },
  'kafka.consumer.auto.offset.reset': { setting: `${STRIMZI}.startFrom` },
  'kafka.consumer.isolation.level': {
    setting: 'router.isolationLevel',
    read: (text: string) => ISOLATION.get(text.trim()) ?? text
  },
  'http.timeoutSeconds': {
    setting: `${STRIMZI}.instanceIdleMs`,
    read: seconds,
    note: 'no consumer is removed, as by default'
  },
  'http.management.port': { setting: 'management.port', read: whole },
  'kafka.producer.acks': { note: 'all in-sync replicas acknowledge a record' },
  'http.consumer.enabled': { note: WHOLE },
  'http.producer.enabled': { note: WHOLE },
  'bridge.executor.pool.size': { note: OWN_EXECUTOR },
  'bridge.executor.queue.size': { note: OWN_EXECUTOR },
  'bridge.metrics': { note: 'metrics are always served' }
}

/** Keys with these beginnings have no effect, for these reasons. */
const GROUPS: Reasons = [
  ['kafka.ssl.', 'TLS to the brokers is set by clusters.default.tls, with files in PEM'],
  ['http.ssl.', 'TLS of the port is set by http.tls'],
  ['kafka.consumer.', 'consumers have no such setting']
]

const SECURITY: SecurityKeys = ['kafka.security.protocol', 'kafka.sasl.mechanism', 'kafka.sasl.jaas.config']
const LISTENER = ['http.host', 'http.port', 'http.ssl.enable', 'http.ssl.certificate.location', 'http.ssl.key.location']
const CORS = ['http.cors.enabled', 'http.cors.allowedOrigins', 'http.cors.allowedMethods']

/**
 * Translates `application.properties`.
 *
 * @throws ConfigError naming every value that cannot be used, one per line
 */
export function translateStrimzi(given: ForeignConfiguration): Translation {
  const { flags, readFile } = given
  const found = new Findings()
  const name = flags.get('config-file')
  const properties: Properties = typeof name === 'string' ? readProperties(readFile(name)) : new Map()
  const origin = (key: string): string =>
    properties.has(key) ? `${String(name)}, ${key}` : "default of Strimzi's bridge"
  listen(found, properties, origin)
  found.serveAlone(COMMAND, given, `${STRIMZI}.port`)
  allowOrigins(found, properties, origin)
  const together = [...LISTENER, ...CORS]
  const names = { keys: KEYS, groups: GROUPS, brokers: 'kafka.bootstrap.servers', security: SECURITY, together }
  translateProperties(found, names, properties, given, origin)
  return found.translation()
}

function listen(found: Findings, properties: Properties, origin: (key: string) => string): void {
  const isTls = isTrue(properties.get('http.ssl.enable'))
  found.set(`${STRIMZI}.host`, properties.get('http.host')?.trim() || DEFAULT_HOST, origin('http.host'))
  const port = properties.get('http.port')
  const ofBridge = isTls ? DEFAULT_TLS_PORT : DEFAULT_PORT
  found.set(`${STRIMZI}.port`, port === undefined ? ofBridge : whole(port), origin('http.port'))
  if (!isTls) return
  found.needsCertificate = origin('http.ssl.enable')
  for (const [key, setting] of [
    ['http.ssl.certificate.location', 'http.tls.certFile'],
    ['http.ssl.key.location', 'http.tls.keyFile']
  ] as const) {
    const file = properties.get(key)
    if (file !== undefined) found.set(setting, file, origin(key))
  }
}

/** The bridge reads its origins as a regular expression; a list of origins is one of those. */
function allowOrigins(found: Findings, properties: Properties, origin: (key: string) => string): void {
  const [enabled, originsKey, methodsKey] = CORS as [string, string, string]
  if (!isTrue(properties.get(enabled))) {
    for (const key of [originsKey, methodsKey].filter(key => properties.has(key))) {
      found.notes.push(`${origin(key)} has no effect: ${enabled} is not true`)
    }
    return
  }
  const given = (properties.get(originsKey) ?? '*').trim()
  const origins = given === '*' || given === '.*' ? ['*'] : given.replaceAll('\\', '').split(/[,|]/)
  const named = origins.map(one => one.trim()).filter(one => one !== '')
  const odd = named.find(one => one !== '*' && !/^https?:\/\/[\w.:-]+$/i.test(one))
  if (odd !== undefined || named.length === 0) {
    found.problems.push(`${origin(originsKey)}: write * or origins such as https://app.example, not ${given}`)
  } else found.set('http.allowedOrigins', named, origin(originsKey))
  const methods = properties.get(methodsKey) ?? 'GET,POST,PUT,DELETE,OPTIONS,PATCH'
  const all = methods.split(',').map(method => method.trim().toUpperCase())
  found.set(`${STRIMZI}.corsMethods`, all, origin(methodsKey))
}
