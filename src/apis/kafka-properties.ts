import { areBrokersNamed, type Findings, type ForeignConfiguration, type Keys } from './api-command.js'

const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }

/**
 * Reads a file of Java properties. Of a key that repeats, the last line counts.
 *
 *   listeners=http://0.0.0.0:8082     # and ! begin comments
 *   client.id : a\                    a line that ends with a backslash goes on in the next one
 *       b                             client.id is "ab"
 *
 * Source: java.util.Properties, load
 */
export function readProperties(text: string): ReadonlyMap<string, string> {
  const properties = new Map<string, string>()
  for (const line of logicalLines(text)) {
    const [, key = '', value = ''] = /^((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)$/s.exec(line)!
    if (key !== '') properties.set(unescaped(key), unescaped(value))
  }
  return properties
}

function logicalLines(text: string): string[] {
  const lines: string[] = []
  let open: string | undefined
  for (const natural of text.split(/\r\n|\r|\n/)) {
    const line = natural.trimStart()
    if (open === undefined && (line === '' || line.startsWith('#') || line.startsWith('!'))) continue
    const joined = (open ?? '') + line
    const isOpen = /(?:^|[^\\])(?:\\\\)*\\$/.test(joined)
    open = isOpen ? joined.slice(0, -1) : undefined
    if (!isOpen) lines.push(joined)
  }
  if (open !== undefined) lines.push(open)
  return lines
}

const unescaped = (text: string): string =>
  text.replace(/\\(?:u([\da-fA-F]{4})|(.))/gs, (_, digits: string | undefined, letter: string) =>
    digits === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(digits, 16))
  )

export type Properties = ReadonlyMap<string, string>

/** `SASL_SSL://kafka-1:9092, kafka-2:9092` */
export const brokers = (text: string): string[] => {
  const all = text.split(',').map(broker => broker.trim().replace(/^\w+:\/\//, ''))
  const named = all.filter(broker => broker !== '')
  return named.length > 0 ? named : all
}

/** Why keys have no effect, by their beginnings. */
export type Reasons = readonly (readonly [beginning: string, note: string])[]

/** The keys of a program of Java. */
interface PropertyNames {
  readonly keys: Keys
  readonly groups: Reasons
  readonly brokers: string
  readonly security: SecurityKeys
  /** Keys that the program reads together, and that are not taken here. */
  readonly together: readonly string[]
}

/** Sets the brokers and the security of the connections to them, and takes all keys by their table. */
export function translateProperties(
  found: Findings,
  names: PropertyNames,
  properties: Properties,
  { flags, environment }: ForeignConfiguration,
  origin: (key: string) => string
): void {
  const isEmbedded = flags.has('embedded')
  if (!isEmbedded && !properties.has(names.brokers) && !areBrokersNamed(environment)) {
    found.set('clusters.default.brokers', ['localhost:9092'], origin(names.brokers))
  }
  const leftOut = new Set([...names.security, ...names.together, ...(isEmbedded ? [names.brokers] : [])])
  for (const [key, text] of properties) {
    if (leftOut.has(key)) continue
    const [, note] = names.groups.find(([beginning]) => key.startsWith(beginning)) ?? []
    const known = Object.hasOwn(names.keys, key) ? names.keys[key] : {}
    found.take({ ...(note !== undefined && { note }), ...known }, text, origin(key))
  }
  // The embedded broker has neither TLS nor SASL.
  if (!isEmbedded) translateSecurity(found, names.security, properties, origin)
}

const PROTOCOLS: ReadonlySet<string> = new Set(['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'])
const MECHANISMS: ReadonlySet<string> = new Set(['plain', 'scram-sha-256', 'scram-sha-512'])
const EXPECTED_MECHANISM = 'expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512'

/** The keys of the security protocol, the mechanism of SASL, and the login module. */
export type SecurityKeys = readonly [protocol: string, mechanism: string, jaas: string]

/** Sets TLS and SASL of the connections to the brokers. */
function translateSecurity(
  found: Findings,
  keys: SecurityKeys,
  properties: Properties,
  origin: (key: string) => string
): void {
  const [protocolKey, mechanismKey, jaasKey] = keys
  const given = properties.get(protocolKey) ?? 'PLAINTEXT'
  const protocol = given.trim().toUpperCase()
  // Otherwise a misspelt protocol would turn TLS off.
  if (!PROTOCOLS.has(protocol)) {
    const all = 'PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL'
    found.problems.push(`${origin(protocolKey)}: expected ${all}, got ${JSON.stringify(given)}`)
    return
  }
  if (protocol.endsWith('SSL')) found.set('clusters.default.tls.enabled', true, origin(protocolKey))
  if (protocol.startsWith('SASL')) translateLogin(found, keys, properties, origin)
  else {
    for (const key of [mechanismKey, jaasKey].filter(key => properties.has(key))) {
      found.notes.push(`${origin(key)} has no effect: ${protocolKey} is ${protocol}`)
    }
  }
}

function translateLogin(
  found: Findings,
  [protocolKey, mechanismKey, jaasKey]: SecurityKeys,
  properties: Properties,
  origin: (key: string) => string
): void {
  const given = properties.get(mechanismKey)
  const mechanism = given?.trim().toLowerCase() ?? ''
  const jaas = properties.get(jaasKey) ?? ''
  const [username, password] = [jaasValue(jaas, 'username'), jaasValue(jaas, 'password')]
  if (given === undefined) {
    found.problems.push(`${origin(protocolKey)}: ${mechanismKey} is missing; ${EXPECTED_MECHANISM}`)
  } else if (!MECHANISMS.has(mechanism)) {
    const other = `for OAUTHBEARER set clusters.default.sasl, and remove the keys ${mechanismKey.replace(/[^.]+$/, '…')} and ${protocolKey}`
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
