import { chmodSync, closeSync, constants, lstatSync, openSync, type Stats, unlinkSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { apis } from '../apis/apis.js'
import { pause } from '../core/ending.js'
import { ConfigError } from '../core/errors.js'
import type { Logger } from '../core/model.js'
import { codeOf } from '../core/node-errors.js'
import { packageFile } from '../core/package-file.js'
import { startApp } from '../server/app/app.js'
import { LAST_WORDS_MS } from '../server/app/log-files.js'
import { type AppLogger, createLogger } from '../server/app/logger.js'
import { unixSocketsOf } from '../server/app/mount-apis.js'
import type { WorkerConfig } from '../server/app/worker-config.js'
import type { Config } from '../server/config/config.js'
import { workerCountOf } from '../server/config/worker-count.js'
import { aborted, CommandError, EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { type ReloadSource, reloadAtHangUp } from './hang-up.js'
import { flush, usesColors } from './standard-output.js'
import { version } from './version.js'

/**
 * Maximum length of the path: 107 bytes on Linux, 103 on macOS. Node truncates a longer path and listens on the
 * truncated path.
 */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103

/**
 * Removes a unix socket that a killed process has left behind. Nothing else is removed.
 *
 * @throws CommandError when the path is too long, is not a socket, has no directory, or is a socket on which a process
 * listens
 */
export async function claimSocketPath(path: string, setting = '--unix-socket (http.unixSocket)'): Promise<void> {
  const length = Buffer.byteLength(path)
  if (length > MAX_PATH_BYTES) {
    throw new CommandError(
      `the path of a unix socket may have ${MAX_PATH_BYTES} bytes, and this one has ${length}: ${path}; choose another one with ${setting}`
    )
  }
  const found = lookAt(path, setting)
  if (!found) {
    if (lookAt(dirname(path), setting)) return
    throw new CommandError(`the directory of ${path} does not exist; create it, or choose another path with ${setting}`)
  }
  if (!found.isSocket())
    throw new CommandError(`${path} exists and is not a socket; choose another path with ${setting}`)
  if (await isAnswered(path)) {
    throw new CommandError(`another process listens on ${path}; choose another path with ${setting}`)
  }
  unlinkSync(path)
}

function lookAt(path: string, setting: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    const code = codeOf(error)
    throw new CommandError(
      `cannot look at ${path} (${code}); let this process use its directory, or choose another path with ${setting}`
    )
  }
}

const isAnswered = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

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
  source: ReloadSource,
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
  source: ReloadSource,
  { stopped, crashed, onHangUp, stdout, stderr }: Process,
  log: AppLogger,
  { style, drainMs }: { style: LogStyle; drainMs: number }
): Promise<number> {
  const [{ startWorkers }, { workerForker }] = await Promise.all([
    import('../server/app/workers.js'),
    import('../deployment/workers/worker-process.js')
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
    fork: workerForker(fileURLToPath(packageFile('dist/worker.js')), { stdout, stderr }),
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
  const exitCode = lostRecords > 0 ? EXIT_FAILURE : code
  await Promise.race([flush(stdout), pause(LAST_WORDS_MS)])
  // Lines that nothing reads do not keep the process.
  if (stdout.writableLength > 0) process.exit(exitCode)
  return exitCode
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
    throw new ConfigError(`service.pidFile: cannot write ${file} (${codeOf(error)})`)
  }
}

type LogStyle = WorkerConfig['log']

function logStyleOf({ log }: Config, { stdout, environment }: Process): LogStyle {
  const automatic = log.file === undefined && stdout.isTTY ? 'text' : 'json'
  return { format: log.format === 'auto' ? automatic : log.format, colors: usesColors(stdout, environment) }
}
