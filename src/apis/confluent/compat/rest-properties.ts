import { Findings, type ForeignConfiguration, type Keys, type Translation, truth, whole } from '../../api-command.js'
import { brokers, type Properties, type Reasons, readProperties, translateProperties } from '../../kafka-properties.js'

const COMMAND = 'castellan confluent'
const CONFLUENT = 'apis.confluent'
const DEFAULT_PORT = 8_082

const wholeAboveZero = (text: string): unknown => (text.trim() === '0' ? undefined : whole(text))
const first = (text: string): string | undefined => text.split(',')[0]!.trim() || undefined
const origins = (text: string): readonly string[] | undefined => {
  const named = text.split(',').map(origin => origin.trim())
  return named.some(origin => origin !== '') ? named.filter(origin => origin !== '') : undefined
}
const NO_CONSUMER_SETTING = 'instances have no such setting'
const ADVERTISED = 'advertised.listeners names the address in base_uri'
const OWN_ACCESS = 'clients are authenticated by the settings of auth'
const REGISTRY = 'schemas.registry'
const urls = (text: string): readonly string[] => text.split(',').map(url => url.trim().replace(/\/+$/, ''))
/** The original takes `USER:PASSWORD` in the URL, or in a key of its own; the source says which. */
const SOURCE: Keys[string] = {
  note: 'credentials in schema.registry.basic.auth.user.info or schema.registry.bearer.auth.token are used'
}

const KEYS: Keys = {
  'bootstrap.servers': { setting: 'clusters.default.brokers', read: brokers },
  'client.id': { setting: 'clusters.default.clientId' },
  'producer.client.id': { setting: 'clusters.default.clientId' },
  'producer.compression.type': { setting: 'delivery.compression' },
  'producer.delivery.timeout.ms': { setting: `${CONFLUENT}.syncTimeoutMs`, read: whole },
  'api.v3.produce.batch.maximum.entries': { setting: `${CONFLUENT}.maxRecordsPerBatch`, read: whole },
  'idle.timeout.ms': { setting: `${CONFLUENT}.streamIdleMs`, read: whole },
  'streaming.connection.max.duration.ms': { setting: `${CONFLUENT}.streamMaxMs`, read: whole },
  'api.v3.produce.request.size.limit.max.bytes': {
    setting: `${CONFLUENT}.maxBodyBytes`,
    read: wholeAboveZero,
    note: 'apis.confluent.maxBodyBytes is the limit'
  },
  id: { note: 'names that are made up for instances are random' },
  'consumer.request.timeout.ms': { setting: `${CONFLUENT}.consumers.maxWaitMs`, read: whole },
  'consumer.request.max.bytes': { note: 'an answer has at most 4 MiB, and the next read has the others' },
  'consumer.instance.timeout.ms': { setting: `${CONFLUENT}.consumers.idleMs`, read: whole },
  'consumer.auto.offset.reset': { setting: `${CONFLUENT}.consumers.start` },
  'consumer.enable.auto.commit': { setting: `${CONFLUENT}.consumers.autoCommit`, read: truth },
  'fetch.min.bytes': { setting: `${CONFLUENT}.consumers.minBytes`, read: whole },
  'advertised.listeners': { setting: `${CONFLUENT}.consumers.advertisedUrl`, read: first },
  'producer.acks': { note: 'all in-sync replicas acknowledge a record' },
  'producer.linger.ms': { note: 'records are sent as soon as their broker is free' },
  'producer.batch.size': { note: 'records are sent as soon as their broker is free' },
  'producer.retries': { note: 'records are tried until their time is over (apis.confluent.syncTimeoutMs)' },
  'producer.enable.idempotence': { note: 'records are always idempotent' },
  'zookeeper.connect': { note: 'ZooKeeper is not asked' },
  'access.control.allow.origin': { setting: 'http.allowedOrigins', read: origins, note: 'no web page is named' },
  'access.control.allow.methods': { note: 'pages of http.allowedOrigins may use all methods' },
  'access.control.allow.headers': { note: 'pages of http.allowedOrigins may send all headers' },
  'schema.registry.url': { setting: `${REGISTRY}.urls`, read: urls },
  'schema.registry.basic.auth.user.info': { setting: `${REGISTRY}.credentials` },
  'schema.registry.bearer.auth.token': { setting: `${REGISTRY}.credentials` },
  'schema.registry.basic.auth.credentials.source': SOURCE,
  'schema.registry.bearer.auth.credentials.source': SOURCE,
  'api.v2.enable': { note: 'the API is served as a whole: apis.confluent.enabled' },
  'api.v3.enable': { note: 'the API is served as a whole: apis.confluent.enabled' }
}

/** Keys with these beginnings have no effect, for these reasons. */
const GROUPS: Reasons = [
  ['consumer.', NO_CONSUMER_SETTING],
  ['host.name', ADVERTISED],
  ['schema.registry.ssl.', 'TLS to the registry is set by schemas.registry, with files in PEM'],
  ['schema.registry.', 'the registry is set by schemas.registry'],
  ['authentication.', OWN_ACCESS],
  ['confluent.rest.auth.', OWN_ACCESS],
  ['ssl.', 'TLS of the port is set by http.tls'],
  ['client.ssl.', 'TLS to the brokers is set by clusters.default.tls, with files in PEM']
]

/** Read together with others. */
const SECURITY = ['client.security.protocol', 'client.sasl.mechanism', 'client.sasl.jaas.config'] as const
const LISTENERS = ['listeners', 'port']

/**
 * Translates `kafka-rest.properties`.
 *
 * @throws ConfigError naming every value that cannot be used, one per line
 */
export function translateConfluent(given: ForeignConfiguration): Translation {
  const { flags, environment, readFile } = given
  const found = new Findings()
  const name = flags.get('config')
  const inFile: Properties = typeof name === 'string' ? readProperties(readFile(name)) : new Map()
  const variables = variablesIn(environment)
  const properties: Properties = new Map([
    ...[...variables].map(([key, { value }]) => [key, value] as const),
    ...inFile
  ])
  const origin = (key: string): string => {
    if (inFile.has(key)) return `${String(name)}, ${key}`
    return variables.get(key)?.variable ?? 'default of the REST Proxy'
  }
  listen(found, properties, origin)
  found.serveAlone(COMMAND, given, `${CONFLUENT}.port`)
  const names = { keys: KEYS, groups: GROUPS, brokers: 'bootstrap.servers', security: SECURITY, together: LISTENERS }
  translateProperties(found, names, properties, given, origin)
  return found.translation()
}

const PREFIX = 'KAFKA_REST_'
/** Variables with these beginnings are for the Java process. */
const OF_JAVA = /^(?:HEAP_OPTS|JVM_PERFORMANCE_OPTS|OPTS|LOG4J|JMX|TOOLS|CUB)/

/**
 * The keys in variables of the image `cp-kafka-rest`, which writes them into its file: `KAFKA_REST_BOOTSTRAP_SERVERS` is
 * `bootstrap.servers`; `__` stands for an underscore, `___` for a hyphen.
 */
function variablesIn(environment: ForeignConfiguration['environment']) {
  const found = new Map<string, { readonly variable: string; readonly value: string }>()
  for (const [variable, value] of Object.entries(environment)) {
    const name = variable.startsWith(PREFIX) ? variable.slice(PREFIX.length) : ''
    if (name === '' || value === undefined || OF_JAVA.test(name)) continue
    const key = name.toLowerCase().replace(/_+/g, run => (run === '___' ? '-' : run === '__' ? '_' : '.'))
    found.set(key, { variable, value })
  }
  return found
}

function listen(found: Findings, properties: Properties, origin: (key: string) => string): void {
  const listeners = properties.get('listeners') ?? `http://0.0.0.0:${properties.get('port') ?? DEFAULT_PORT}`
  const [first, ...others] = listeners.split(',').map(listener => listener.trim())
  const key = properties.has('listeners') || !properties.has('port') ? 'listeners' : 'port'
  const [, scheme, host, port] = /^(https?):\/\/(.*):(\d+)\/?$/i.exec(first ?? '') ?? []
  if (scheme === undefined) found.problems.push(`${origin(key)}: write it as http://HOST:PORT, not ${first}`)
  else {
    found.set(`${CONFLUENT}.host`, host!.replace(/^\[|\]$/g, '') || '0.0.0.0', origin(key))
    found.set(`${CONFLUENT}.port`, Number(port), origin(key))
    if (scheme.toLowerCase() === 'https') found.needsCertificate = `${origin(key)}: ${first}`
  }
  if (others.length > 0) found.notes.push(`${origin(key)}: only the first listener is opened`)
}
