import { isLoopback } from '../../core/settings/units.js'
import { requiresCredentials } from '../../http/access/settings.js'
import type { ListenerTlsSettings } from '../../http/server/settings.js'
import type { Config } from './schema.js'

/** An address that the process listens on. */
export interface ListenedHost {
  /** The setting that names the address. */
  readonly setting: string
  readonly host: string
  /** Whether the listener uses TLS. */
  readonly isSecure: boolean
}

/** Contradictions between the settings of TLS, authentication and access rules. */
export function checkAccess(config: Config): string[] {
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
  const url = URL.canParse(text) ? new URL(text) : undefined
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
export function accessWarnings({ auth, access }: Config, hosts: readonly ListenedHost[]): string[] {
  if (!requiresCredentials(auth)) return []
  const lines = hosts
    .filter(({ setting, host, isSecure }) => setting !== 'embedded.host' && !isLoopback(host) && !isSecure)
    .map(({ setting, host }) => `${setting} is ${host} without TLS: credentials can be read on the network`)
  if (access.rules.length === 0) {
    lines.push('access.rules is empty: clients must authenticate, and no rule allows them anything')
  }
  return lines
}
