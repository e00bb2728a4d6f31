import type { z } from 'zod'
import type { ListenerTlsSettings } from './listener-tls-settings.js'
import { isLoopback } from './loopback.js'
import type { configSchema } from './schema.js'

type Config = z.output<typeof configSchema>

/** Whether any client can prove who it is; then all have to. */
export const requiresCredentials = ({ tokens, users, certificates, issuers }: Config['auth']): boolean =>
  tokens.length + users.length + certificates.length + issuers.length > 0

/** Problems between the settings of TLS, authentication and rules. */
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
    problems.push(`${section}.caFile: is missing; it says whose client certificates are trusted`)
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
    problems.push(`auth.users: ${name} is there twice`)
  }
  const issuers = auth.issuers.map(({ issuer }) => issuer)
  if (new Set(issuers).size < issuers.length) problems.push('auth.issuers: an issuer is there twice')
  return problems
}

/** Keys that somebody on the way could replace would let anybody in. */
function checkJwksUrl(setting: string, text: string | undefined): string[] {
  if (text === undefined) return []
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.username || url?.password) return [`${setting}: must not contain a user name or a password`]
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))
  return isSafe ? [] : [`${setting}: must be an https:// address; http:// is for loopback only`]
}

/** A rule that can never allow what it says is a mistake. */
function checkRule(setting: string, { operations, topics, groups }: Config['access']['rules'][number]): string[] {
  const problems: string[] = []
  const needsTopics = operations.filter(operation => operation === 'produce' || operation === 'consume')
  if (needsTopics.length > 0 && topics.length === 0) {
    problems.push(`${setting}.topics: name the topics for ${needsTopics.join(' and ')}, or "*" for all`)
  }
  if (operations.includes('offsets') && (groups.length === 0 || topics.length === 0)) {
    problems.push(`${setting}: offsets needs topics and groups; "*" stands for all`)
  }
  return problems
}

/** What works, but should be known. */
export function accessWarnings(
  { http, management, auth, access, dialects }: Config,
  hosts: readonly (readonly [name: string, host: string])[]
): string[] {
  const lines: string[] = []
  if (requiresCredentials(auth)) {
    const isPlain = (name: string): boolean =>
      name === 'management.host'
        ? management.tls.certFile === undefined
        : http.tls.certFile === undefined || (name === 'dialects.kprf.host' && dialects.kprf.tls === 'off')
    for (const [name, host] of hosts) {
      if (name === 'embedded.host' || isLoopback(host) || !isPlain(name)) continue
      lines.push(`${name} is ${host} without TLS: credentials are readable for everybody on the way`)
    }
    if (access.rules.length === 0) {
      lines.push('access.rules is empty: clients must authenticate, and are allowed nothing')
    }
  }
  return lines
}
