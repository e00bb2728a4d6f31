import { apis } from '../../apis/apis.js'
import { CastellanError, ConfigError, type ErrorCode } from '../../core/errors.js'
import { defaultRecordBytes } from '../../core/record-budget.js'
import type { LinkError } from '../../deployment/workers/link.js'
import type { HttpApi } from '../../http/api/api.js'
import { workerDirectory } from '../../producer/log/open-durable-log.js'
import type { Config } from '../config/config.js'
import { settingsOfApis } from '../config/schema.js'
import type { LoggerOptions } from './logger.js'

/** Body of the message that starts a worker. */
export interface WorkerConfig {
  readonly config: Config
  readonly place: WorkerPlace
  /**
   * The style of the worker's log. The parent chooses it, because a worker writes to a pipe and cannot detect a
   * terminal.
   */
  readonly log: Pick<LoggerOptions, 'format' | 'colors'>
  readonly drainMs: number
  /** The umask: mode bits that new files do not get. */
  readonly umask: number
}

/**
 * The configuration of one worker. It leaves out the parts that the parent runs once for all workers. Limits of clients are
 * the share of one worker, at least 1: workers do not ask each other about a request.
 */
export function configOfWorker(config: Config, number: number, count: number): Config {
  const { management, statsd, wal, http, quotas } = config
  const shareOf = <Limits extends object>(limits: Limits): Limits =>
    Object.fromEntries(
      Object.entries(limits).map(([name, limit]) => [
        name,
        typeof limit === 'number' ? Math.ceil(limit / count) : limit
      ])
    ) as Limits
  const own = new Map<string, HttpApi>(apis.map(api => [api.name, api]))
  const shares = settingsOfApis(config).map(([name, settings]) => [
    name,
    own.get(name)?.shareOf?.(settings, count) ?? settings
  ])
  return {
    ...config,
    apis: Object.fromEntries(shares),
    http: {
      ...http,
      perAddress: shareOf(http.perAddress),
      answersMaxBytes: Math.ceil((http.answersMaxBytes ?? defaultRecordBytes()) / count)
    },
    quotas: {
      perPrincipal: shareOf(quotas.perPrincipal),
      perAddress: shareOf(quotas.perAddress),
      principals: quotas.principals.map(shareOf)
    },
    management: { ...management, port: 'off' },
    statsd: { ...statsd, host: undefined },
    wal: { ...wal, directory: workerDirectory(wal.directory, number) }
  }
}

/** Turns the error of a worker into the error that a single process throws in this case. */
export function toOwnError(error: LinkError): Error {
  const { cause } = error
  if (cause?.name === 'ConfigError') return new ConfigError(cause.message, error)
  if (cause?.code === undefined) return error
  const { code, message, retriable = true, setting } = cause
  return new CastellanError(code as ErrorCode, message, retriable, error, setting)
}

export interface WorkerPlace {
  /** The number of this worker, from 1. */
  readonly number: number
  readonly count: number
  /** The directory that contains the durable logs of all workers. */
  readonly walRoot: string
  /** The secret of receipts, which all workers share. */
  readonly receiptSecret: Uint8Array
  /** HOST:PORT,… of the embedded broker, which runs in the parent. */
  readonly embeddedBootstrap: string | undefined
  /** URL of the management port, which is in the parent; `undefined`: it is off. */
  readonly managementUrl: string | undefined
}
