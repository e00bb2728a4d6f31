import { type KafkaClient, startClient } from '../app/client.js'
import { createLogger } from '../app/logger.js'
import { type Config, type FlagSetting, loadConfig } from '../config/config.js'
import type { Process } from './command.js'
import type { FlagValues } from './flags.js'
import { CommandError, UsageError } from './usage-error.js'

const DEFAULT_TIMEOUT_SECONDS = 10

/** A Router and nothing else, for commands that look into a cluster somebody else runs. */
export interface Client extends KafkaClient {
  readonly brokers: readonly string[]
  readonly timeoutMs: number
}

/** Connects as the flags and the configuration say. Logs to stderr, since stdout is for what was asked for. */
export function openClient(values: FlagValues, { environment, stderr }: Process): Client {
  const timeoutMs = (values.count('timeout', 1) ?? DEFAULT_TIMEOUT_SECONDS) * 1_000
  const name = values.text('cluster') ?? 'default'
  const config = loadConfig({ role: 'client', file: values.text('config'), environment, flags: flagsFor(name, values) })
  const cluster = clusterOf(config, name)
  const log = createLogger({
    level: values.has('debug') ? 'debug' : 'error',
    pretty: stderr.isTTY,
    colors: stderr.isTTY,
    descriptor: 2
  })
  const client = startClient(config, cluster.name, cluster.brokers, log)
  return { ...client, brokers: cluster.brokers, timeoutMs }
}

/** `--brokers` names those of the chosen cluster. */
const flagsFor = (name: string, values: FlagValues): FlagSetting[] =>
  values
    .settings()
    .map(setting => (setting.flag === '--brokers' ? { ...setting, path: ['clusters', name, 'brokers'] } : setting))

function clusterOf(config: Config, name: string): { name: string; brokers: readonly string[] } {
  const cluster = config.clusters[name]
  if (!cluster)
    throw new UsageError(`there is no cluster ${name}; there are ${Object.keys(config.clusters).join(', ')}`)
  if (cluster.brokers.length > 0) return { name, brokers: cluster.brokers }
  const { host, port } = config.embedded
  return { name, brokers: [`${host}:${port === 0 ? 9092 : port}`] }
}

/** The one line for a cluster that cannot be reached. */
export const unreachable = ({ brokers, timeoutMs }: Client, reason: string): CommandError =>
  new CommandError(
    `no answer from ${brokers.join(', ')} within ${timeoutMs / 1_000} s (${reason}); is it running there? (--brokers HOST:PORT, or castellan broker to start one)`
  )
