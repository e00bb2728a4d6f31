import { isDeepStrictEqual } from 'node:util'
import type { ClusterSettings } from '../../kafka/settings.js'
import type { Config } from './config.js'

/** Settings that count from now on, and those that have changed and count after a restart only. */
export interface Reloaded {
  readonly config: Config
  /** `http.port`: names of settings, never their values. */
  readonly needRestart: readonly string[]
}

/**
 * What of a configuration counts while the process runs: who clients are, what they may do, and with which certificates and
 * passwords the process itself logs in.
 *
 * @param running the configuration that counts now
 * @param read the configuration as it is written now
 */
export function reloaded(running: Config, read: Config): Reloaded {
  const { auth, access, clusters } = read
  const config: Config = {
    ...running,
    auth,
    access: { ...running.access, rules: access.rules },
    clusters: Object.fromEntries(
      Object.entries(running.clusters).map(([name, cluster]) => [name, withLogin(cluster, clusters[name])])
    ) as Config['clusters']
  }
  return { config, needRestart: differences(config, read) }
}

/** Whether there is TLS, and how to log in, is decided at the start. */
function withLogin(running: ClusterSettings, read: ClusterSettings = running): ClusterSettings {
  const isTlsSame = read.tls.enabled === running.tls.enabled
  const isLoginSame = read.sasl?.mechanism === running.sasl?.mechanism
  return { ...running, tls: isTlsSame ? read.tls : running.tls, sasl: isLoginSame ? read.sasl : running.sasl }
}

function differences(one: unknown, other: unknown, path: readonly string[] = []): string[] {
  if (isDeepStrictEqual(one, other)) return []
  if (!isSection(one) || !isSection(other)) return [path.join('.')]
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].flatMap(name => differences(one[name], other[name], [...path, name]))
}

const isSection = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
