import { apis } from '../../apis/apis.js'
import { parseUrl } from '../../core/parse-url.js'
import type { Environment } from '../../core/settings/setting-names.js'
import { isLoopback } from '../../core/settings/units.js'
import { requiresCredentials } from '../../http/access/settings.js'
import type { HttpApi } from '../../http/api/api.js'
import type { ListenerTlsSettings } from '../../http/server/settings.js'
import type { SaslSettings } from '../../kafka/settings.js'
import { DRAIN_SHARE } from './process-settings.js'
import { type Config, settingsOfApis } from './schema.js'
import { problemsOfTlsFiles, problemsOfTokenCaFile, tlsFilesIn } from './tls-files.js'

export const usesEmbeddedBroker = (config: Config): boolean =>
  config.embedded.enabled || config.clusters.default!.brokers.length === 0

/** Purpose of a configuration: a gateway, a client of a running cluster, or the embedded broker alone. */
export type ConfigRole = 'serve' | 'client' | 'broker'

/** Contradictions between settings that are valid on their own. */
export function crossCheck(
  config: Config,
  role: ConfigRole,
  environment: Environment,
  apis: readonly HttpApi[]
): string[] {
  if (role === 'broker') return checkHosts(config, [embeddedHost(config)])
  if (role === 'client') return checkClusters(config)
  return [
    ...checkHosts(config, hostsOf(config, apis)),
    ...checkAccess(config),
    ...checkApis(config, apis),
    ...checkEmbedded(config, environment),
    ...checkPeers(config),
    ...checkRegistry(config),
    ...checkShutdown(config),
    ...checkClusters(config)
  ]
}

/** Every address to listen on that a setting names. */
function hostsOf(config: Config, apis: readonly HttpApi[]): ListenedHost[] {
  const { http, management } = config
  const isSecure = http.tls.certFile !== undefined
  const hosts: ListenedHost[] = [{ setting: 'http.host', host: http.host, isSecure }]
  if (management.port !== 'off') {
    const { host, tls } = management
    hosts.push({ setting: 'management.host', host, isSecure: tls.certFile !== undefined })
  }
  for (const [name, { enabled, host, port, tls }] of settingsOfApis(config)) {
    if (!enabled || port === undefined || host === undefined) continue
    hosts.push({ setting: `apis.${name}.host`, host, isSecure: isSecure && tls === 'inherit' })
  }
  hosts.push(...furtherHostsOf(config, apis))
  if (usesEmbeddedBroker(config)) hosts.push(embeddedHost(config))
  return hosts
}

function furtherHostsOf(config: Config, apis: readonly HttpApi[]): ListenedHost[] {
  const { host: shared, tls } = config.http
  const settings = new Map(settingsOfApis(config))
  const enabled = apis.filter(({ name }) => settings.get(name)!.enabled)
  const byThemselves = enabled.flatMap(api => api.hosts?.(settings.get(api.name)!) ?? [])
  const listeners = enabled.flatMap(api =>
    (api.listeners?.(settings.get(api.name)!, { host: shared }) ?? []).flatMap(({ address, tls: inherits }) =>
      'host' in address && address.host !== shared
        ? [{ setting: address.setting, host: address.host, isSecure: inherits && tls.certFile !== undefined }]
        : []
    )
  )
  return [...listeners, ...byThemselves.map(own => ({ ...own, isSecure: own.tls && tls.certFile !== undefined }))]
}

const embeddedHost = ({ embedded: { host } }: Config): ListenedHost => ({
  setting: 'embedded.host',
  host,
  isSecure: false
})

function checkApis(config: Config, apis: readonly HttpApi[]): string[] {
  const settings = new Map(settingsOfApis(config))
  return apis.flatMap(api => {
    const own = settings.get(api.name)!
    const problems = own.enabled ? (api.check?.(own) ?? []) : []
    return problems.map(problem => `apis.${api.name}.${problem}`)
  })
}

const checkHosts = (config: Config, hosts: readonly ListenedHost[]): string[] =>
  forbiddenAmong(config, hosts).map(
    ({ setting, host }) =>
      `${setting}: ${host} can be reached from other machines, and clients would not have to authenticate; ` +
      'listen on 127.0.0.1, configure authentication (auth), or allow it with --allow-anonymous (http.allowAnonymous: true)'
  )

/** Addresses that are refused: other machines can reach them, and their clients need not authenticate. */
export const forbiddenHosts = (config: Config, apis: readonly HttpApi[]): readonly ListenedHost[] =>
  forbiddenAmong(config, hostsOf(config, apis))

const forbiddenAmong = ({ http, auth }: Config, hosts: readonly ListenedHost[]): readonly ListenedHost[] =>
  http.allowAnonymous ? [] : hosts.filter(({ setting, host }) => !isLoopback(host) && !isGuarded(setting, auth))

/** Whether clients of an address have to authenticate. The embedded broker does not authenticate its clients. */
const isGuarded = (setting: string, auth: Config['auth']): boolean =>
  setting !== 'embedded.host' && requiresCredentials(auth)

function checkEmbedded(config: Config, environment: Environment): string[] {
  const { brokers } = config.clusters.default!
  if (config.embedded.enabled && brokers.length > 0) {
    return [
      `embedded.enabled: clusters.default.brokers names ${brokers.join(',')}; use either the embedded broker or those`
    ]
  }
  if (!config.embedded.enabled && brokers.length === 0 && environment.NODE_ENV === 'production') {
    return [
      'clusters.default.brokers: no brokers are named and NODE_ENV is production; name them with --brokers HOST:PORT,…, or ask for the embedded broker with --embedded'
    ]
  }
  return []
}

function checkPeers({ peers }: Config): string[] {
  if (peers.addresses.length === 0) return []
  const missing = (['listen', 'token'] as const).filter(setting => peers[setting] === undefined)
  const problems = missing.map(setting => `peers.${setting}: is missing; gateways that know each other need it`)
  const { tlsDirectory } = peers
  if (tlsDirectory !== undefined) problems.push(...problemsOfTlsFiles('peers.tlsDirectory', tlsFilesIn(tlsDirectory)))
  return problems
}

function checkShutdown({ shutdown: { drainMs = 0, graceMs } }: Config): string[] {
  if (drainMs <= graceMs * DRAIN_SHARE) return []
  return [
    `shutdown.drainMs: is ${drainMs}, more than half of shutdown.graceMs (${graceMs}), whose other half is for what was accepted`
  ]
}

function checkRegistry({ schemas: { registry } }: Config): string[] {
  if ((registry.certFile === undefined) !== (registry.keyFile === undefined)) {
    return ['schemas.registry: certFile and keyFile go together']
  }
  return problemsOfTlsFiles('schemas.registry', registry)
}

function checkClusters(config: Config): string[] {
  return Object.entries(config.clusters).flatMap(([name, cluster]) => {
    const problems: string[] = []
    const { tls, sasl } = cluster
    if (name !== 'default' && cluster.brokers.length === 0)
      problems.push(`clusters.${name}.brokers: name at least one broker`)
    if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
      problems.push(`clusters.${name}.tls: certFile and keyFile go together`)
    } else if (tls.enabled) problems.push(...problemsOfTlsFiles(`clusters.${name}.tls`, tls))
    if (!tls.enabled && (tls.caFile ?? tls.certFile ?? tls.serverName) !== undefined) {
      problems.push(
        `clusters.${name}.tls.enabled: is false, but other TLS settings are given; set it to true or remove them`
      )
    }
    if (sasl) problems.push(...checkSasl(name, sasl))
    return problems
  })
}

function checkSasl(name: string, sasl: SaslSettings): string[] {
  const missing = (...settings: (keyof SaslSettings)[]): string[] =>
    settings
      .filter(setting => sasl[setting] === undefined)
      .map(setting => `clusters.${name}.sasl.${setting}: is missing`)
  if (sasl.mechanism !== 'oauthbearer') return missing('username', 'password')
  const asksForTokens = (sasl.tokenUrl ?? sasl.tokenClient ?? sasl.tokenSecret) !== undefined
  const others = (['token', 'tokenPath', 'tokenCommand', 'mskRegion'] as const).filter(one => sasl[one] !== undefined)
  const given = [...others, ...(asksForTokens ? (['tokenUrl'] as const) : [])]
  const setting = `clusters.${name}.sasl.`
  if (given.length === 0)
    return [
      `${setting}token: is missing; give a token, tokenPath, tokenCommand, mskRegion, or tokenUrl, tokenClient and tokenSecret`
    ]
  if (given.length > 1) return [`${setting}${given[0]}: is given besides ${given[1]}; remove one of them`]
  if (!asksForTokens) return []
  return [...missing('tokenUrl', 'tokenClient', 'tokenSecret'), ...problemsOfTokenCaFile(name, sasl)]
}

/** Warnings about settings that work but are risky. They are logged once, at the start. */
export function warnings(config: Config, listed: readonly HttpApi[] = apis): string[] {
  const { auth, http } = config
  const hosts = hostsOf(config, listed)
  const open = hosts.filter(
    ({ setting, host }) => !isLoopback(host) && (http.allowAnonymous || !isGuarded(setting, auth))
  )
  return [
    ...open.map(
      ({ setting, host }) => `${setting} is ${host}: clients that can reach it can use it without authentication`
    ),
    ...accessWarnings(config, hosts),
    ...clusterWarnings(config),
    ...registryWarnings(config)
  ]
}

function clusterWarnings(config: Config): string[] {
  return Object.entries(config.clusters).flatMap(([name, { tls, sasl, brokers }]) => {
    if (brokers.length === 0) return []
    const lines: string[] = []
    if (tls.enabled && !tls.rejectUnauthorized) {
      lines.push(
        `clusters.${name}.tls.rejectUnauthorized is false: certificates of the brokers are not verified, so traffic can be read and changed on the network`
      )
    }
    if (sasl && !tls.enabled && (sasl.mechanism === 'plain' || sasl.mechanism === 'oauthbearer')) {
      lines.push(
        `clusters.${name}.sasl.mechanism ${sasl.mechanism} without TLS sends the ${sasl.mechanism === 'plain' ? 'password' : 'token'} in clear text; set clusters.${name}.tls.enabled`
      )
    }
    if (sasl?.tokenUrl !== undefined && isReadable(new URL(sasl.tokenUrl))) {
      lines.push(`clusters.${name}.sasl.tokenUrl without TLS sends the client secret in clear text; use https`)
    }
    return lines
  })
}

function registryWarnings({ schemas: { registry } }: Config): string[] {
  const isSent = registry.credentials !== undefined && registry.urls.some(url => isReadable(new URL(url)))
  return isSent ? ['schemas.registry.credentials are sent in clear text to an http URL; use https'] : []
}

const isReadable = ({ protocol, hostname }: URL): boolean => protocol === 'http:' && !isLoopback(hostname)

interface ListenedHost {
  readonly setting: string
  readonly host: string
  /** Whether the listener uses TLS. */
  readonly isSecure: boolean
}

/** Contradictions between the settings of TLS, authentication and access rules. */
function checkAccess(config: Config): string[] {
  const { http, management, auth, access } = config
  return [
    ...checkTls('http.tls', http.tls),
    ...checkTls('management.tls', management.tls),
    ...checkAuth(config),
    ...auth.issuers.flatMap(({ jwksUrl }, index) => checkJwksUrl(`auth.issuers.${index}.jwksUrl`, jwksUrl)),
    ...access.rules.flatMap((rule, index) => checkRule(`access.rules.${index}`, rule))
  ]
}

function checkTls(section: string, { certFile, keyFile, caFile, clientAuth }: ListenerTlsSettings): string[] {
  const problems: string[] = []
  if ((certFile === undefined) !== (keyFile === undefined)) {
    problems.push(`${section}: certFile and keyFile go together`)
  } else if (certFile === undefined && (caFile !== undefined || clientAuth !== 'none')) {
    problems.push(`${section}: client certificates need TLS; name certFile and keyFile too`)
  } else if (clientAuth !== 'none' && caFile === undefined) {
    problems.push(`${section}.caFile: is missing; it holds the certificate authorities for client certificates`)
  }
  return problems
}

function checkAuth({ http, management, auth }: Config): string[] {
  const problems: string[] = []
  if (auth.certificates.length > 0 && http.tls.clientAuth === 'none' && management.tls.clientAuth === 'none') {
    problems.push('auth.certificates: no listener asks for certificates; set http.tls.clientAuth')
  }
  if (auth.unixSocketPrincipal !== undefined && http.unixSocket === undefined) {
    problems.push('auth.unixSocketPrincipal: there is no http.unixSocket')
  }
  const names = auth.users.map(({ username }) => username)
  for (const name of new Set(names.filter((one, index) => names.indexOf(one) !== index))) {
    problems.push(`auth.users: ${name} occurs twice`)
  }
  const issuers = auth.issuers.map(({ issuer }) => issuer)
  if (new Set(issuers).size < issuers.length) problems.push('auth.issuers: an issuer occurs twice')
  return problems
}

/** Refuses a URL of keys without TLS: an attacker on the network could replace the keys and then log in as anyone. */
function checkJwksUrl(setting: string, text: string | undefined): string[] {
  if (text === undefined) return []
  const url = parseUrl(text)
  if (url?.username || url?.password) return [`${setting}: must not contain a user name or a password`]
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))
  return isSafe ? [] : [`${setting}: must be an https:// address; http:// is for loopback only`]
}

/** Refuses a rule that can never match, because it must be a mistake. */
function checkRule(
  setting: string,
  { operations, topics, groups, subjects }: Config['access']['rules'][number]
): string[] {
  const problems: string[] = []
  const needsTopics = operations.filter(operation => operation === 'produce' || operation === 'consume')
  if (needsTopics.length > 0 && topics.length === 0) {
    problems.push(`${setting}.topics: name the topics for ${needsTopics.join(' and ')}, or "*" for all`)
  }
  if (operations.includes('offsets') && (groups.length === 0 || topics.length === 0)) {
    problems.push(`${setting}: offsets needs topics and groups; "*" stands for all`)
  }
  if (operations.includes('register') && subjects.length === 0) {
    problems.push(`${setting}.subjects: name the subjects for register, or "*" for all`)
  }
  return problems
}

/** Warnings about settings that work but are risky. */
function accessWarnings({ auth, access }: Config, hosts: readonly ListenedHost[]): string[] {
  if (!requiresCredentials(auth)) return []
  const lines = hosts
    .filter(({ setting, host, isSecure }) => setting !== 'embedded.host' && !isLoopback(host) && !isSecure)
    .map(({ setting, host }) => `${setting} is ${host} without TLS: credentials can be read on the network`)
  if (access.rules.length === 0) {
    lines.push('access.rules is empty: clients must authenticate, and no rule allows them anything')
  }
  return lines
}

/** Whether no setting names an address to listen on that other machines can reach. */
export const listensOnLoopbackOnly = (config: Config, listed: readonly HttpApi[]): boolean =>
  hostsOf(config, listed).every(({ host }) => isLoopback(host))
