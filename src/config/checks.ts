import type { z } from 'zod'
import { accessWarnings, checkAccess, requiresCredentials } from './access-checks.js'
import type { SaslSettings } from './cluster-settings.js'
import { isLoopback } from './loopback.js'
import type { configSchema } from './schema.js'
import { problemsOfTlsFiles, problemsOfTokenCaFile } from './tls-files.js'

export { isLoopback } from './loopback.js'

type Config = z.output<typeof configSchema>

/** Whether the `default` cluster is the embedded broker. */
export const usesEmbeddedBroker = (config: Pick<Config, 'embedded' | 'clusters'>): boolean =>
  config.embedded.enabled || config.clusters.default!.brokers.length === 0

/** A gateway, a client of a cluster that runs elsewhere, or the embedded broker alone. */
export type Role = 'serve' | 'client' | 'broker'

type Environment = Readonly<Record<string, string | undefined>>

/** Problems between settings that are fine one by one. */
export function crossCheck(config: Config, role: Role, environment: Environment): string[] {
  if (role === 'broker') return checkHosts(config, [['embedded.host', config.embedded.host]])
  if (role === 'client') return checkClusters(config)
  return [
    ...checkHosts(config, hostsOf(config)),
    ...checkAccess(config),
    ...checkEmbedded(config, environment),
    ...checkClusters(config)
  ]
}

function hostsOf(config: Config): [string, string][] {
  const { http, management, embedded, dialects } = config
  const hosts: [string, string][] = [['http.host', http.host]]
  if (management.port !== 'off') hosts.push(['management.host', management.host])
  const { kprf } = dialects
  if (kprf.enabled && kprf.port !== undefined && kprf.host !== undefined) hosts.push(['dialects.kprf.host', kprf.host])
  if (usesEmbeddedBroker(config)) hosts.push(['embedded.host', embedded.host])
  return hosts
}

function checkHosts({ http, auth }: Config, hosts: [string, string][]): string[] {
  if (http.allowAnonymous) return []
  return hosts
    .filter(([name, host]) => !isLoopback(host) && !isGuarded(name, auth))
    .map(
      ([name, host]) =>
        `${name}: ${host} can be reached from other machines, and nobody would have to say who they are; ` +
        'listen on 127.0.0.1, configure who clients are (auth), or allow it with --allow-anonymous (http.allowAnonymous: true)'
    )
}

/** Whether clients of an address have to authenticate. The embedded broker asks nobody. */
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

function checkClusters(config: Config): string[] {
  return Object.entries(config.clusters).flatMap(([name, cluster]) => {
    const problems: string[] = []
    const { tls, sasl } = cluster
    if (name !== 'default' && cluster.brokers.length === 0)
      problems.push(`clusters.${name}.brokers: name at least one broker`)
    if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
      problems.push(`clusters.${name}.tls: certFile and keyFile go together`)
    } else if (tls.enabled) problems.push(...problemsOfTlsFiles(name, tls))
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
  if (!asksForTokens) {
    return sasl.token === undefined
      ? [`clusters.${name}.sasl.token: is missing; give a token, or tokenUrl, tokenClient and tokenSecret`]
      : []
  }
  if (sasl.token !== undefined) return [`clusters.${name}.sasl.token: is given besides tokenUrl; remove one of them`]
  return [...missing('tokenUrl', 'tokenClient', 'tokenSecret'), ...problemsOfTokenCaFile(name, sasl)]
}

/** What works, but should be known: said once at the start. */
export function warnings(config: Config): string[] {
  const { auth, http } = config
  const open = hostsOf(config).filter(
    ([name, host]) => !isLoopback(host) && (http.allowAnonymous || !isGuarded(name, auth))
  )
  return [
    ...open.map(([name, host]) => `${name} is ${host}: whoever can reach it may use it, without saying who they are`),
    ...accessWarnings(config, hostsOf(config)),
    ...clusterWarnings(config)
  ]
}

function clusterWarnings(config: Config): string[] {
  return Object.entries(config.clusters).flatMap(([name, { tls, sasl, brokers }]) => {
    if (brokers.length === 0) return []
    const lines: string[] = []
    if (tls.enabled && !tls.rejectUnauthorized) {
      lines.push(
        `clusters.${name}.tls.rejectUnauthorized is false: certificates of the brokers are not verified, so anybody in between can read and change everything`
      )
    }
    if (sasl && !tls.enabled && (sasl.mechanism === 'plain' || sasl.mechanism === 'oauthbearer')) {
      lines.push(
        `clusters.${name}.sasl.mechanism ${sasl.mechanism} without TLS sends the ${sasl.mechanism === 'plain' ? 'password' : 'token'} readable for everybody on the way; set clusters.${name}.tls.enabled`
      )
    }
    if (sasl?.tokenUrl !== undefined && isReadable(new URL(sasl.tokenUrl))) {
      lines.push(
        `clusters.${name}.sasl.tokenUrl without TLS sends the client secret readable for everybody on the way; use https`
      )
    }
    return lines
  })
}

const isReadable = ({ protocol, hostname }: URL): boolean => protocol === 'http:' && !isLoopback(hostname)
