import { ConfigError } from '../../../core/errors.js'
import type { Environment } from '../../../core/settings/setting-names.js'
import {
  entriesOf,
  type FileSection,
  Findings,
  type ForeignConfiguration,
  isSection,
  type Keys,
  readYaml,
  type Translation
} from '../../api-command.js'
import { CLUSTER_KEYS, FILE_KEYS, FLAG_KEYS, PROCESS_KEYS, unknownKeys } from './pixy-keys.js'

const COMMAND = 'castellan kafka-pixy'
const PIXY = 'apis.kafka-pixy'
const DEFAULT_TCP_ADDRESS = '0.0.0.0:19092'
const DEFAULT_GRPC_ADDRESS = '0.0.0.0:19091'
const NO_PROXIES = 'invalid config parameter: at least on proxy must be configured'

type Flags = ForeignConfiguration['flags']
/**
 * Translates Kafka-Pixy's flags and its file.
 *
 * @throws ConfigError naming every value that cannot be used, one per line
 */
export async function translateKafkaPixy(given: ForeignConfiguration): Promise<Translation> {
  const { flags, environment, readFile } = given
  const name = textOf(flags, 'config')
  const file = name === undefined ? { proxies: { default: {} } } : await read(name, readFile(name))
  const found = new Findings()
  const origin = (path: string): string => (name === undefined ? 'default of Kafka-Pixy' : `${name}, ${path}`)
  found.serveAlone(COMMAND, given)
  found.notes.push(...unknownKeys(file))
  listen(found, file, flags, origin)
  nameAsNomad(found, environment)
  translateClusters(found, file, origin)
  translateKeys(found, file, FILE_KEYS, '', origin)
  translateLogging(found, file.logging, origin)
  applyFlags(found, flags)
  return found.translation()
}

async function read(name: string, text: string): Promise<FileSection> {
  const content = await readYaml(name, text)
  if (isSection(content) && Object.keys(sectionOf(content.proxies)).length > 0) return content
  throw new ConfigError(`${name}: ${NO_PROXIES}`)
}

/** A value that is no section has no keys. */
const sectionOf = (value: unknown): FileSection => (isSection(value) ? value : {})

/** An address with a colon is a TCP address, any other a unix socket. */
function listen(found: Findings, file: FileSection, flags: Flags, origin: (path: string) => string): void {
  const tcp = textOf(flags, 'tcpAddr') ?? file.tcp_addr
  const unix = textOf(flags, 'unixAddr') ?? file.unix_addr
  const named = textOf(flags, 'grpcAddr') ?? file.grpc_addr
  if (named && tcp === undefined && unix === undefined)
    found.notes.push(
      'only gRPC is served, because its address is the only one that is named; tcp_addr names one for HTTP'
    )
  else address(found, tcp ?? DEFAULT_TCP_ADDRESS, flags.has('tcpAddr') ? '--tcpAddr' : origin('tcp_addr'))
  address(found, unix, flags.has('unixAddr') ? '--unixAddr' : origin('unix_addr'))
  const grpc = named ?? DEFAULT_GRPC_ADDRESS
  if (grpc === '') return
  const { host, port } = hostAndPort(String(grpc))
  const grpcOrigin = flags.has('grpcAddr') ? '--grpcAddr' : origin('grpc_addr')
  found.set(`${PIXY}.grpcHost`, host, grpcOrigin)
  found.set(`${PIXY}.grpcPort`, port, grpcOrigin)
}

function address(found: Findings, text: unknown, origin: string): void {
  if (text === undefined || text === '' || text === null) return
  if (!String(text).includes(':')) {
    found.set(`${PIXY}.unixSocket`, text, origin)
    return
  }
  const { host, port } = hostAndPort(String(text))
  found.set(`${PIXY}.host`, host, origin)
  found.set(`${PIXY}.port`, port, origin)
}

function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, '') || '0.0.0.0', port: Number(text.slice(colon + 1)) }
}

/** Uses Nomad's name of the instance as the client id. A `client_id` in the file overrides it. */
function nameAsNomad(found: Findings, { NOMAD_ALLOC_ID: id, NOMAD_ALLOC_INDEX: index }: Environment): void {
  if (!id) return
  const name = ['kp_nomad', id.split('-', 1)[0], ...(index ? [index] : [])].join('_')
  found.set('clusters.default.clientId', name, 'NOMAD_ALLOC_ID')
}

function translateClusters(found: Findings, file: FileSection, origin: (path: string) => string): void {
  const proxies = sectionOf(file.proxies)
  const main = typeof file.default_cluster === 'string' ? file.default_cluster : Object.keys(proxies)[0]!
  if (!Object.hasOwn(proxies, main)) found.problems.push(`default_cluster: there is no cluster ${main} in proxies`)
  if (main !== 'default') found.set(`${PIXY}.defaultCluster`, main, origin('proxies'))
  for (const [name, proxy] of Object.entries(proxies)) {
    const cluster = name === main ? 'default' : name
    const originOf = (path: string): string => origin(`proxies.${name}.${path}`)
    found.set(`clusters.${cluster}.brokers`, ['localhost:9092'], 'default of Kafka-Pixy')
    translateKeys(found, sectionOf(proxy), CLUSTER_KEYS, cluster, originOf)
    translateSasl(found, sectionOf(sectionOf(sectionOf(proxy).net).sasl), cluster, originOf)
    if (name === main) translateKeys(found, sectionOf(proxy), PROCESS_KEYS, cluster, originOf)
    else explainShared(found, name, sectionOf(proxy), sectionOf(proxies[main]))
  }
}

function translateKeys(
  found: Findings,
  proxy: FileSection,
  keys: Keys,
  cluster: string,
  origin: (path: string) => string
): void {
  const { values } = entriesOf(proxy, Object.keys(keys))
  for (const [path, key] of Object.entries(keys)) {
    const value = values.get(path) ?? ''
    // Kafka-Pixy takes an empty text as no value.
    if (value === '') continue
    const setting = key.setting?.replace('*', cluster)
    found.take({ ...key, ...(setting !== undefined && { setting }) }, value, origin(path), path)
  }
}

function translateSasl(found: Findings, sasl: FileSection, cluster: string, origin: (path: string) => string): void {
  if (sasl.enable !== true) return
  found.set(`clusters.${cluster}.sasl.mechanism`, 'plain', origin('net.sasl.enable'))
  found.set(`clusters.${cluster}.sasl.username`, sasl.user, origin('net.sasl.user'))
  found.set(`clusters.${cluster}.sasl.password`, sasl.password, origin('net.sasl.password'))
}

/** Keys that each cluster of Kafka-Pixy has, and that hold for all clusters here. */
function explainShared(found: Findings, name: string, proxy: FileSection, main: FileSection): void {
  const ofMain = entriesOf(main, Object.keys(PROCESS_KEYS)).values
  for (const [path, value] of entriesOf(proxy, Object.keys(PROCESS_KEYS)).values) {
    const setting = PROCESS_KEYS[path]?.setting
    if (setting === undefined || value === ofMain.get(path)) continue
    found.notes.push(`proxies.${name}.${path} has no effect: ${setting} is that of all clusters`)
  }
}

const LEVELS: ReadonlyMap<string, string> = new Map([
  ['debug', 'debug'],
  ['info', 'info'],
  ['warning', 'warn'],
  ['warn', 'warn'],
  ['error', 'error']
])

function translateLogging(found: Findings, logging: unknown, origin: (path: string) => string): void {
  const loggers = Array.isArray(logging) ? logging.filter(isSection) : []
  for (const { name, severity } of loggers) {
    if (name === 'console') found.set('log.format', 'text', origin('logging'))
    else if (name === 'json') found.set('log.format', 'json', origin('logging'))
    else found.notes.push(`the logger ${String(name)} has no effect: the log goes to stdout, or to log.file`)
    const level = LEVELS.get(String(severity))
    if (level !== undefined) found.set('log.level', level, origin('logging'))
  }
}

function applyFlags(found: Findings, flags: Flags): void {
  for (const [flag, key] of Object.entries(FLAG_KEYS)) {
    if (flags.has(flag)) found.take(key, flags.get(flag), `--${flag}`)
  }
  const logging = textOf(flags, 'logging')
  if (logging !== undefined) translateLogging(found, parseLogging(found, logging), () => '--logging')
}

function parseLogging(found: Findings, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    found.problems.push('--logging: is no valid JSON')
    return undefined
  }
}

function textOf(flags: Flags, name: string): string | undefined {
  const value = flags.get(name)
  return typeof value === 'string' ? value : undefined
}
