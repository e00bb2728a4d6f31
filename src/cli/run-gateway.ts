import { chmodSync, closeSync, constants, openSync, writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { apis } from '../apis/apis.js'
import { ConfigError } from '../core/errors.js'
import type { Logger } from '../core/model.js'
import { threadModule } from '../core/thread-module.js'
import { unixSocketsOf } from '../server/app/apis.js'
import { startApp } from '../server/app/app.js'
import { type AppLogger, createLogger } from '../server/app/logger.js'
import type { WorkerOrder } from '../server/app/worker-order.js'
import type { Config } from '../server/config/config.js'
import { workerCountOf } from '../server/config/worker-count.js'
import { aborted, EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { type ConfigSource, reloadAtHangUp } from './hang-up.js'
import { usesColors } from './standard-output.js'
import { claimSocketPath } from './unix-socket.js'
import { version } from './version.js'

/**
 * Default of `shutdown.drainMs`: load balancers ask `/ready` every few seconds. On a terminal the default is 0, because
 * no load balancer is expected there.
 */
const DRAIN_MS = 5_000

/** The umask while sockets are created: only the owner can use a socket until its mode is set. */
const PRIVATE = 0o177

/**
 * Runs the gateway until it is stopped, in this process or in several.
 *
 * @param notes warnings about the configuration, for the log
 * @returns the exit code
 */
export async function runGateway(
  source: ConfigSource,
  process: Process,
  notes: readonly string[] = []
): Promise<number> {
  const { config } = source
  const { stopped, crashed, onHangUp, stdout } = process
  const style = logStyleOf(config, process)
  const drainMs = stdout.isTTY ? 0 : DRAIN_MS
  const log = createLogger({ ...config.log, ...style, descriptor: 1 })
  for (const note of notes) log.warn({}, note)
  for (const { path, setting } of unixSocketsOf(apis, config)) await claimSocketPath(path, setting)
  // The file is written after the steps that fail while another gateway runs, because then the file belongs to the
  // other gateway.
  writePidFile(config.service.pidFile)
  if (workerCountOf(config.workers) > 1) return runWorkers(source, process, log, { style, drainMs })
  const starting = startApp(config, { log, version: version(), drainMs })
  reloadAtHangUp(onHangUp, starting, log, source)
  const app = await starting
  const code = await untilEnd(Promise.race([app.crashed, crashed]), stopped, log)
  const { lostRecords } = await app.stop({ isBroken: code !== EXIT_OK })
  return lostRecords > 0 ? EXIT_FAILURE : code
}

/**
 * Runs the gateway in several processes, its workers.
 *
 * @param style the style of the log lines
 * @returns the exit code
 */
async function runWorkers(
  source: ConfigSource,
  { stopped, crashed, onHangUp, stdout, stderr }: Process,
  log: AppLogger,
  { style, drainMs }: { style: LogStyle; drainMs: number }
): Promise<number> {
  const [{ startWorkers }, { workerForker }] = await Promise.all([
    import('../server/app/workers.js'),
    import('../server/workers/worker-process.js')
  ])
  const { config } = source
  const sockets = unixSocketsOf(apis, config)
  // This process binds the sockets of all workers.
  const umask = sockets.length === 0 ? process.umask() : process.umask(PRIVATE)
  const starting = startWorkers(config, {
    log,
    version: version(),
    drainMs,
    logStyle: style,
    umask,
    fork: workerForker(fileURLToPath(threadModule('./worker.js', import.meta.url)), { stdout, stderr }),
    onStarted: () => {
      for (const { path, mode } of sockets) chmodSync(path, Number.parseInt(mode, 8))
    }
  })
  reloadAtHangUp(onHangUp, starting, log, source, () => withUmask(umask, () => log.reopen()))
  const workers = await starting
  // A second signal ends this process at once. Its exit then kills the workers.
  process.once('exit', () => workers.kill())
  const code = await untilEnd(crashed, stopped, log)
  const { lostRecords } = await workers.stop()
  return lostRecords > 0 ? EXIT_FAILURE : code
}

/**
 * Waits until the gateway is stopped, or until an error after which the process has to be replaced. Even after such an
 * error, records in memory can most likely still be written to Kafka.
 *
 * @returns the exit code, provided that no record is lost at the end
 */
function untilEnd(broken: Promise<unknown>, stopped: AbortSignal, log: Logger): Promise<number> {
  const crash = broken.then(error => {
    log.error({ err: error }, 'this process cannot recover from an error, and ends')
    return EXIT_FAILURE
  })
  return Promise.race([crash, aborted(stopped).then(() => EXIT_OK)])
}

function withUmask(mask: number, run: () => void): void {
  const former = process.umask(mask)
  try {
    run()
  } finally {
    process.umask(former)
  }
}

/**
 * Flags for replacing a file. Links are not followed: another user may have created one to make this process overwrite
 * another file.
 */
const TO_REPLACE = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | (constants.O_NOFOLLOW ?? 0)

/** @throws ConfigError when the file cannot be written */
function writePidFile(file: string | undefined): void {
  if (file === undefined) return
  try {
    const descriptor = openSync(file, TO_REPLACE, 0o644)
    try {
      writeSync(descriptor, String(globalThis.process.pid))
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    throw new ConfigError(`service.pidFile: cannot write ${file} (${(error as NodeJS.ErrnoException).code})`)
  }
}

type LogStyle = WorkerOrder['log']

function logStyleOf({ log }: Config, { stdout, environment }: Process): LogStyle {
  const automatic = log.file === undefined && stdout.isTTY ? 'text' : 'json'
  return { format: log.format === 'auto' ? automatic : log.format, colors: usesColors(stdout, environment) }
}
