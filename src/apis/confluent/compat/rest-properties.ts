import { Findings, type ForeignConfiguration, type Translation } from '../../command.js'
import { readProperties } from './java-properties.js'

const COMMAND = 'castellan confluent'
const CONFLUENT = 'apis.confluent'
const DEFAULT_PORT = 8_082
const DEFAULT_BROKERS = 'localhost:9092'

type Properties = ReadonlyMap<string, string>

/** A key: what it sets here, or why it has no effect. */
interface Key {
  readonly setting?: string
  /** `undefined`: the value sets nothing. */
  readonly read?: (text: string) => unknown
  readonly note?: string
}

const whole = (text: string): unknown => (/^-?\d+$/.test(text.trim()) ? Number(text) : text)
const wholeAboveZero = (text: string): unknown => (text.trim() === '0' ? undefined : whole(text))
const truth = (text: string): unknown =>
  /^(?:true|false)$/i.test(text.trim()) ? text.trim().toLowerCase() === 'true' : text
const first = (text: string): string | undefined => text.split(',')[0]!.trim() || undefined
const brokers = (text: string): string[] => {
  const all = text.split(',').map(broker => broker.trim().replace(/^\w+:\/\//, ''))
  const named = all.filter(broker => broker !== '')
  return named.length > 0 ? named : all
}

const NO_CONSUMER_SETTING = 'instances have no such setting'
const ADVERTISED = 'advertised.listeners names the address in base_uri'
const OWN_ACCESS = 'clients are authenticated by the settings of auth'
const NO_SCHEMAS = 'formats with schemas are not served'

const KEYS: ReadonlyMap<string, Key> = new Map<string, Key>([
  ['bootstrap.servers', { setting: 'clusters.default.brokers', read: brokers }],
  ['client.id', { setting: 'clusters.default.clientId' }],
  ['producer.client.id', { setting: 'clusters.default.clientId' }],
  ['producer.compression.type', { setting: 'delivery.compression' }],
  ['producer.delivery.timeout.ms', { setting: `${CONFLUENT}.syncTimeoutMs`, read: whole }],
  ['api.v3.produce.batch.maximum.entries', { setting: `${CONFLUENT}.maxRecordsPerBatch`, read: whole }],
  ['idle.timeout.ms', { setting: `${CONFLUENT}.streamIdleMs`, read: whole }],
  ['streaming.connection.max.duration.ms', { setting: `${CONFLUENT}.streamMaxMs`, read: whole }],
  [
    'api.v3.produce.request.size.limit.max.bytes',
    { setting: `${CONFLUENT}.maxBodyBytes`, read: wholeAboveZero, note: 'apis.confluent.maxBodyBytes is the limit' }
  ],
  ['id', { setting: `${CONFLUENT}.consumers.id` }],
  ['consumer.request.timeout.ms', { setting: `${CONFLUENT}.consumers.maxWaitMs`, read: whole }],
  ['consumer.request.max.bytes', { setting: `${CONFLUENT}.consumers.maxReadBytes`, read: whole }],
  ['consumer.instance.timeout.ms', { setting: `${CONFLUENT}.consumers.idleMs`, read: whole }],
  ['consumer.auto.offset.reset', { setting: `${CONFLUENT}.consumers.start` }],
  ['consumer.enable.auto.commit', { setting: `${CONFLUENT}.consumers.autoCommit`, read: truth }],
  ['fetch.min.bytes', { setting: `${CONFLUENT}.consumers.minBytes`, read: whole }],
  ['advertised.listeners', { setting: `${CONFLUENT}.consumers.advertisedUrl`, read: first }],
  ['producer.acks', { note: 'all in-sync replicas acknowledge a record' }],
  ['producer.linger.ms', { note: 'records are sent as soon as their broker is free' }],
  ['producer.batch.size', { note: 'records are sent as soon as their broker is free' }],
  ['producer.retries', { note: 'records are tried until their time is over (apis.confluent.syncTimeoutMs)' }],
  ['producer.enable.idempotence', { note: 'records are always idempotent' }],
  ['zookeeper.connect', { note: 'ZooKeeper is not asked' }],
  ['access.control.allow.origin', { note: 'http.allowedOrigins names web pages that may send requests' }],
  ['api.v2.enable', { note: 'the API is served as a whole: apis.confluent.enabled' }],
  ['api.v3.enable', { note: 'the API is served as a whole: apis.confluent.enabled' }]
])

/** Keys with these beginnings have no effect, for these reasons. */
const GROUPS: readonly (readonly [beginning: string, note: string])[] = [
  ['consumer.', NO_CONSUMER_SETTING],
  ['host.name', ADVERTISED],
  ['schema.registry.', NO_SCHEMAS],
  ['authentication.', OWN_ACCESS],
  ['confluent.rest.auth.', OWN_ACCESS],
  ['ssl.', 'TLS of the port is set by http.tls'],
  ['client.ssl.', 'TLS to the brokers is set by clusters.default.tls, with files in PEM']
]

/** Read together with others. */
const SECURITY = ['client.security.protocol', 'client.sasl.mechanism', 'client.sasl.jaas.config'] as const
const LISTENERS = ['listeners', 'port'] as const

/**
 * Translates `kafka-rest.properties`.
 *
 * @throws ConfigError naming every value that cannot be used, one per line
 */
export function translateConfluent({ flags, environment, readFile }: ForeignConfiguration): Translation {
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
  // Clients use the API's own port. The shared port is not needed, so it must not take the address of another process.
  found.set('http.port', 0, COMMAND)
  listen(found, properties, flags, origin)
  const isNamed = properties.has('bootstrap.servers') || isNamedBy(environment)
  if (flags.has('embedded')) found.set('embedded.enabled', true, '--embedded')
  else if (!isNamed) found.set('clusters.default.brokers', [DEFAULT_BROKERS], origin('bootstrap.servers'))
  for (const [key, text] of properties) {
    if (key === 'bootstrap.servers' && flags.has('embedded')) continue
    if (![...SECURITY, ...LISTENERS].some(other => other === key)) translateKey(found, key, text, origin(key))
  }
  // The embedded broker has neither TLS nor SASL.
  if (!flags.has('embedded')) translateSecurity(found, properties, origin)
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

const isNamedBy = (environment: ForeignConfiguration['environment']): boolean =>
  ['CASTELLAN_BROKERS', 'CASTELLAN_CLUSTERS_DEFAULT_BROKERS'].some(variable => environment[variable])

function listen(
  found: Findings,
  properties: Properties,
  flags: ForeignConfiguration['flags'],
  origin: (key: string) => string
): void {
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
  const flag = flags.get('port')
  if (typeof flag === 'string') found.set(`${CONFLUENT}.port`, whole(flag), '--port')
}

function translateKey(found: Findings, key: string, text: string, origin: string): void {
  const known = KEYS.get(key)
  const [, group] = GROUPS.find(([beginning]) => key.startsWith(beginning)) ?? []
  const value = known?.setting === undefined ? undefined : (known.read ?? (same => same))(text)
  if (value !== undefined) found.set(known!.setting!, value, origin)
  else {
    const why = known?.note ?? group
    found.notes.push(why === undefined ? `${origin} has no effect here` : `${origin} has no effect: ${why}`)
  }
}

const PROTOCOLS: ReadonlySet<string> = new Set(['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'])
const MECHANISMS: ReadonlySet<string> = new Set(['plain', 'scram-sha-256', 'scram-sha-512'])
const EXPECTED_MECHANISM = 'expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512'

function translateSecurity(found: Findings, properties: Properties, origin: (key: string) => string): void {
  const [protocolKey, mechanismKey, jaasKey] = SECURITY
  const given = properties.get(protocolKey) ?? 'PLAINTEXT'
  const protocol = given.trim().toUpperCase()
  // Otherwise a misspelt protocol would turn TLS off.
  if (!PROTOCOLS.has(protocol)) {
    const all = 'PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL'
    found.problems.push(`${origin(protocolKey)}: expected ${all}, got ${JSON.stringify(given)}`)
    return
  }
  if (protocol.endsWith('SSL')) found.set('clusters.default.tls.enabled', true, origin(protocolKey))
  if (protocol.startsWith('SASL')) translateLogin(found, properties, origin)
  else {
    for (const key of [mechanismKey, jaasKey].filter(key => properties.has(key))) {
      found.notes.push(`${origin(key)} has no effect: ${protocolKey} is ${protocol}`)
    }
  }
}

function translateLogin(found: Findings, properties: Properties, origin: (key: string) => string): void {
  const [protocolKey, mechanismKey, jaasKey] = SECURITY
  const given = properties.get(mechanismKey)
  const mechanism = given?.trim().toLowerCase() ?? ''
  const jaas = properties.get(jaasKey) ?? ''
  const [username, password] = [jaasValue(jaas, 'username'), jaasValue(jaas, 'password')]
  if (given === undefined) {
    found.problems.push(`${origin(protocolKey)}: ${mechanismKey} is missing; ${EXPECTED_MECHANISM}`)
  } else if (!MECHANISMS.has(mechanism)) {
    const other = `for OAUTHBEARER set clusters.default.sasl, and remove the keys client.sasl.… and ${protocolKey}`
    found.problems.push(`${origin(mechanismKey)}: ${EXPECTED_MECHANISM}, got ${JSON.stringify(given)}; ${other}`)
  } else if (username === undefined || password === undefined) {
    // The text is not quoted: it may hold a password.
    const where = properties.has(jaasKey) ? `${origin(jaasKey)}: has` : `${origin(protocolKey)}: ${jaasKey} has`
    found.problems.push(`${where} no username="…" and password="…"`)
  } else {
    found.set('clusters.default.sasl.mechanism', mechanism, origin(mechanismKey))
    found.set('clusters.default.sasl.username', username, origin(jaasKey))
    found.set('clusters.default.sasl.password', password, origin(jaasKey))
  }
}

/** The value of an option in a login module's configuration: `username="u"`, `username='u'` or `username=u`. */
function jaasValue(jaas: string, name: string): string | undefined {
  const quoted = '"((?:\\\\.|[^"\\\\])*)"|\'((?:\\\\.|[^\'\\\\])*)\''
  const found = new RegExp(`\\b${name}\\s*=\\s*(?:${quoted}|([^\\s;"']+))`, 's').exec(jaas)
  if (found === null) return undefined
  const [, inDouble, inSingle, bare] = found
  return bare ?? (inDouble ?? inSingle)!.replace(/\\(.)/gs, '$1')
}
