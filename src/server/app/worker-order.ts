import { CastellanError, ConfigError, type ErrorCode } from '../../core/errors.js'
import { workerDirectory } from '../../producer/log/orphaned-directories.js'
import type { Config } from '../config/config.js'
import type { LinkError } from '../workers/link.js'
import type { WorkerPlace } from './worker-peers.js'

/** What a worker is started with. */
export interface WorkerOrder {
  readonly config: Config
  readonly place: WorkerPlace
  /** Whether its log is readable lines, and has colors: it writes to a pipe. */
  readonly log: { readonly pretty: boolean; readonly colors: boolean }
  readonly drainMs: number
  /** File mode bits that new files do not get. */
  readonly umask: number
}

/**
 * The configuration of one of several workers: what exists once for all of them is left out.
 */
export function configOfWorker(config: Config, number: number): Config {
  const { management, statsd, wal } = config
  return {
    ...config,
    management: { ...management, port: 'off' },
    statsd: { ...statsd, host: undefined },
    wal: { ...wal, directory: workerDirectory(wal.directory, number) }
  }
}

/** The error of a worker that cannot be started, as this process would have thrown it. */
export function toStartError(error: LinkError): Error {
  const { cause } = error
  if (cause?.name === 'ConfigError') return new ConfigError(cause.message)
  if (cause?.code === undefined) return error
  return new CastellanError(cause.code as ErrorCode, cause.message, true)
}
