import type { Command } from 'commander'
import { type ActorRef, ActorSystem, ask } from '../core/actor/actor.js'
import { defaultLogger } from '../core/metrics/metrics-logger.js'
import type { Logger } from '../core/model.js'
import { suggestion } from '../core/settings/problems.js'
import type { BrokerClientFactory, TopicMetadata } from '../kafka/broker-client.js'
import type { FetchTopicMetadataResult, RouterMessage } from '../router/messages/operations.js'
import type { Schemas } from '../schemas/schemas.js'
import { type ConfiguredCluster, startCluster } from '../server/app/kafka.js'
import { createLogger } from '../server/app/logger.js'
import {
  type Config,
  type ConfigSources,
  type ExplainedConfig,
  explainConfig,
  type FlagSetting,
  loadConfig
} from '../server/config/config.js'
import type { Verbs } from '../verbs/verbs.js'
import { CommandError, type Process, UsageError } from './command.js'
import { castellanConfigOption, settingsOf } from './options.js'
import { usesColors } from './standard-output.js'

const DEFAULT_TIMEOUT_SECONDS = 10

/** The flags of the commands that connect to a running cluster; see clientOptions. */
export interface ClientFlags {
  readonly brokers?: string
  readonly cluster?: string
  readonly timeout?: number
  /** If `--castellan-config` is given, `--config` belongs to another program. */
  readonly castellanConfig?: string
  readonly config?: string
  readonly debug?: boolean
}

/** A running cluster, for commands that connect to it. */
export class Client {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  readonly verbs: Verbs
  readonly brokers: readonly string[]
  readonly timeoutMs: number
  readonly log: Logger
  readonly #cluster: ConfiguredCluster
  readonly #explained: ExplainedConfig
  #schemas: Schemas | undefined

  constructor(
    cluster: ConfiguredCluster,
    brokers: readonly string[],
    timeoutMs: number,
    log: Logger,
    explained: ExplainedConfig
  ) {
    this.system = cluster.system
    this.router = cluster.router.ref
    this.verbs = cluster.verbs
    this.brokers = brokers
    this.timeoutMs = timeoutMs
    this.log = log
    this.#cluster = cluster
    this.#explained = explained
  }

  /** Why no broker answers. `undefined` until every broker has been tried. */
  awayBecause(): Error | undefined {
    return this.#cluster.router.awayBecause
  }

  /** Opens further connections to the brokers. */
  get createClient(): BrokerClientFactory {
    return this.#cluster.createClient
  }

  get config(): Config {
    return this.#explained.config
  }

  /** The login to the brokers of the configuration. */
  get sasl(): Config['clusters'][string]['sasl'] {
    return this.config.clusters[this.#cluster.name]!.sasl
  }

  /** How far this clock is ahead of the brokers'. `undefined`: no record has told it. */
  get clockAheadMs(): number | undefined {
    return this.#cluster.delivery.clockAheadMs
  }

  /** Whether a source of the configuration has the setting, and it is on. */
  names(setting: string): boolean {
    const path = setting.split('.')
    const value = path.reduce<unknown>((part, name) => (part as Record<string, unknown>)[name], this.config)
    return Boolean(value) && this.#explained.originOf(path) !== 'default'
  }

  /** The schemas of the registry in the configuration. @throws CommandError when it names none */
  async schemas(): Promise<Schemas> {
    const { openSchemas } = await import('../client/schemas.js')
    this.#schemas = openSchemas(this.config.schemas)
    if (this.#schemas !== undefined) return this.#schemas
    throw new CommandError('there is no schema registry: --set schemas.registry.urls=URL')
  }

  async stop(): Promise<void> {
    this.#schemas?.close()
    await this.#cluster.close(0)
    this.system.stop()
  }
}

/**
 * Connects to the cluster that the flags and the configuration name. Logs to stderr, because stdout is for the output
 * of the command.
 *
 * @param level without `--debug`; `silent` for a command that tells every failure itself
 */
export async function openClient(
  line: Command,
  { environment, stderr }: Process,
  level: 'error' | 'silent' = 'error'
): Promise<Client> {
  const { timeout = DEFAULT_TIMEOUT_SECONDS, cluster: name = 'default', ...given } = line.opts<ClientFlags>()
  const timeoutMs = timeout * 1_000
  const file = line.options.includes(castellanConfigOption) ? given.castellanConfig : given.config
  const sources = { role: 'client', file, environment } as const
  const explained = explainConfig({ ...sources, flags: flagsFor(name, line) })
  const { config } = explained
  const cluster = clusterOf(config, name)
  if (given.brokers !== undefined) requireConfigured(name, { ...sources, flags: otherFlags(line) })
  const log = createLogger({
    level: given.debug ? 'debug' : level,
    format: stderr.isTTY ? 'text' : 'json',
    colors: usesColors(stderr, environment),
    descriptor: 2
  })
  const onFatal = (error: Error): never => {
    throw error
  }
  const { brokers } = cluster
  const deps = { system: new ActorSystem(), config, log, metrics: defaultLogger, onFatal }
  return new Client(await startCluster(name, brokers, deps), brokers, timeoutMs, log, explained)
}

/**
 * Refuses a name in `--cluster` that the configuration does not have. Without this check, `--cluster` with `--brokers`
 * silently creates a new cluster for a misspelt name.
 */
function requireConfigured(name: string, sources: ConfigSources): void {
  const named = clustersOf(sources)
  if (named !== undefined) requireCluster(named, name)
}

/**
 * The clusters of the configuration without `--brokers`. `undefined`: it is invalid without `--brokers`, because it has
 * the cluster but not its brokers.
 */
function clustersOf(sources: ConfigSources): Config['clusters'] | undefined {
  try {
    return loadConfig(sources).clusters
  } catch {
    return undefined
  }
}

const otherFlags = (line: Command): FlagSetting[] => settingsOf(line).filter(({ flag }) => flag !== '--brokers')

/** Turns `--brokers` into a setting of the chosen cluster. */
const flagsFor = (name: string, line: Command): FlagSetting[] =>
  settingsOf(line).map(setting =>
    setting.flag === '--brokers' ? { ...setting, path: ['clusters', name, 'brokers'] } : setting
  )

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
  throw new UsageError(`there is no cluster ${name}${suggestion(name, names)}; ${known}`)
}

/** The error for a cluster that cannot be reached: one line. @param reason `undefined`: brokers are silent */
export function unreachable(client: Client, reason: string | undefined): CommandError {
  const { brokers, timeoutMs } = client
  const { code } = (client.awayBecause()?.cause ?? {}) as NodeJS.ErrnoException
  const why = reason ?? `no answer from ${brokers.join(', ')} within ${timeoutMs / 1_000} s`
  const isAbsent = reason === undefined || code === 'ECONNREFUSED'
  return new CommandError(
    isAbsent ? `${why} (--brokers HOST:PORT names another one; castellan broker starts one)` : why
  )
}

/** Interval of the checks whether any broker can be reached. */
const LOOK_EVERY_MS = 20

/**
 * Asks the Router for topics.
 *
 * @param names `null`: all topics
 * @throws CommandError as soon as every broker has been tried in vain, or when no broker answers within the client's
 * time-out
 */
export async function askForTopics(
  client: Client,
  names: readonly string[] | null
): Promise<ReadonlyMap<string, TopicMetadata>> {
  const { router, timeoutMs } = client
  const asked = ask<FetchTopicMetadataResult>('topic metadata', timeoutMs + 1_000, requester =>
    router.tell({ type: 'fetchTopicMetadata', topics: names, requester, timeoutMs })
  )
  const watch = watchForTrouble(client)
  try {
    const result = await Promise.race([asked, watch.trouble])
    if (result.type === 'success') return result.topics
    throw unreachable(client, result.type === 'failed' ? result.message : result.reason)
  } finally {
    watch.stop()
  }
}

/**
 * Rejects when every broker has been tried in vain. A gateway keeps trying; a command reports the reason at once.
 */
function watchForTrouble(client: Client): { readonly trouble: Promise<never>; stop(): void } {
  let timer: NodeJS.Timeout | undefined
  const trouble = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const error = client.awayBecause()
      if (error !== undefined) reject(unreachable(client, error.message))
    }, LOOK_EVERY_MS)
  })
  return { trouble, stop: () => clearInterval(timer) }
}
