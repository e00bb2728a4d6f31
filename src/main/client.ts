import { type ActorRef, ActorSystem } from '../actor/actor.js'
import { startCluster } from '../app/kafka.js'
import { createLogger } from '../app/logger.js'
import { type Config, type ConfigSources, type FlagSetting, loadConfig } from '../config/config.js'
import { defaultLogger } from '../metrics/metrics-logger.js'
import type { RouterMessage } from '../operations.js'
import { closest } from './closest.js'
import type { Process } from './command.js'
import type { FlagValues } from './flags.js'
import { usesColors } from './standard-output.js'
import { CommandError, UsageError } from './usage-error.js'

const DEFAULT_TIMEOUT_SECONDS = 10

/** A Router and a place for actors that ask it, for commands that look into a cluster somebody else runs. */
export interface Client {
  readonly router: ActorRef<RouterMessage>
  /** Why no broker answers: known as soon as all have been tried once. */
  awayBecause(): Error | undefined
  readonly system: ActorSystem
  readonly brokers: readonly string[]
  readonly timeoutMs: number
  stop(): Promise<void>
}

/** Connects as the flags and the configuration say. Logs to stderr, since stdout is for what was asked for. */
export function openClient(values: FlagValues, { environment, stderr }: Process): Client {
  const timeoutMs = (values.count('timeout', 1) ?? DEFAULT_TIMEOUT_SECONDS) * 1_000
  const name = values.text('cluster') ?? 'default'
  const sources = { role: 'client', file: values.text('config'), environment } as const
  const config = loadConfig({ ...sources, flags: flagsFor(name, values) })
  const cluster = clusterOf(config, name)
  if (values.has('brokers')) requireConfigured(name, { ...sources, flags: otherFlags(values) })
  const log = createLogger({
    level: values.has('debug') ? 'debug' : 'error',
    pretty: stderr.isTTY,
    colors: usesColors(stderr, environment),
    descriptor: 2
  })
  const onFatal = (error: Error): never => {
    throw error
  }
  const system = new ActorSystem()
  const { router, close } = startCluster(cluster.name, cluster.brokers, {
    system,
    config,
    log,
    metrics: defaultLogger,
    onFatal
  })
  const stop = async (): Promise<void> => {
    await close(0)
    system.stop()
  }
  const awayBecause = (): Error | undefined => router.awayBecause
  return { router: router.ref, awayBecause, system, brokers: cluster.brokers, timeoutMs, stop }
}

/** A name that only `--brokers` would bring to life is a misspelt one. */
function requireConfigured(name: string, sources: ConfigSources): void {
  const named = clustersOf(sources)
  if (named !== undefined) requireCluster(named, name)
}

/** `undefined`: what is left without the brokers is no valid configuration, so the cluster is in it. */
function clustersOf(sources: ConfigSources): Config['clusters'] | undefined {
  try {
    return loadConfig(sources).clusters
  } catch {
    return undefined
  }
}

const otherFlags = (values: FlagValues): FlagSetting[] => values.settings().filter(({ flag }) => flag !== '--brokers')

/** `--brokers` names those of the chosen cluster. */
const flagsFor = (name: string, values: FlagValues): FlagSetting[] =>
  values
    .settings()
    .map(setting => (setting.flag === '--brokers' ? { ...setting, path: ['clusters', name, 'brokers'] } : setting))

function clusterOf(config: Config, name: string): { name: string; brokers: readonly string[] } {
  const cluster = requireCluster(config.clusters, name)
  if (cluster.brokers.length > 0) return { name, brokers: cluster.brokers }
  const { host, port } = config.embedded
  return { name, brokers: [`${host}:${port === 0 ? 9092 : port}`] }
}

function requireCluster(clusters: Config['clusters'], name: string): Config['clusters'][string] {
  const cluster = Object.hasOwn(clusters, name) ? clusters[name] : undefined
  if (cluster) return cluster
  const names = Object.keys(clusters)
  const known = names.length === 1 ? `the only one is ${names[0]}` : `there are ${names.join(', ')}`
  throw new UsageError(`there is no cluster ${name}${closest(name, names)}; ${known}`)
}

/** The one line for a cluster that cannot be reached. */
export function unreachable({ brokers, timeoutMs }: Client, reason: string | undefined): CommandError {
  const why = reason ?? `no answer from ${brokers.join(', ')} within ${timeoutMs / 1_000} s`
  const isAbsent = reason === undefined || reason.includes('ECONNREFUSED')
  return new CommandError(
    isAbsent ? `${why} (--brokers HOST:PORT names another one; castellan broker starts one)` : why
  )
}
