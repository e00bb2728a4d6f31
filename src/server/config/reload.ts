import { isDeepStrictEqual } from 'node:util'
import type { ClusterSettings } from '../../kafka/settings.js'
import { namedPath } from './advanced.js'
import type { Config } from './config.js'
import { describeSettings } from './schema.js'

/** The result of a reload: the settings in effect, and the changed settings that need a restart. */
export interface Reloaded {
  readonly config: Config
  /** Names of settings such as `http.port`, without their values. */
  readonly needRestart: readonly string[]
}

/**
 * Takes over the settings that can change while the process runs: how clients authenticate, what they may do, and the
 * certificates and passwords with which the process logs in to Kafka.
 *
 * @param running the configuration in effect
 * @param read the configuration that was just read from its sources
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
  const { leaves } = describeSettings()
  return { config, needRestart: differences(config, read).map(path => namedPath(path, leaves).join('.')) }
}

/**
 * Takes over certificates and passwords only. TLS cannot be switched on or off, and the SASL mechanism cannot change,
 * without a restart.
 */
function withLogin(running: ClusterSettings, read: ClusterSettings = running): ClusterSettings {
  const isTlsSame = read.tls.enabled === running.tls.enabled
  const isLoginSame = read.sasl?.mechanism === running.sasl?.mechanism
  return { ...running, tls: isTlsSame ? read.tls : running.tls, sasl: isLoginSame ? read.sasl : running.sasl }
}

function differences(one: unknown, other: unknown, path: readonly string[] = []): string[][] {
  if (isDeepStrictEqual(one, other)) return []
  if (!isSection(one) || !isSection(other)) return [[...path]]
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].flatMap(name => differences(one[name], other[name], [...path, name]))
}

const isSection = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
