import { closeSync, constants, lstatSync, openSync, type Stats, unlinkSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { apis } from '../apis/apis.js'
import { ConfigError } from '../core/errors.js'
import type { Logger } from '../core/model.js'
import { codeOf } from '../core/node-errors.js'
import { startApp } from '../server/app/app.js'
import { createLogger, type LoggerOptions } from '../server/app/logger.js'
import { unixSocketsOf } from '../server/app/mount-apis.js'
import type { Config } from '../server/config/config.js'
import { aborted, CommandError, EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { type ReloadSource, reloadAtHangUp } from './hang-up.js'
import { inheritedSocket } from './inherited-socket.js'
import { usesColors } from './standard-output.js'
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

/**
 * Runs the gateway until it is stopped.
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
  const sharedFd = inheritedSocket(process.environment, globalThis.process.pid)
  const starting = startApp(config, { log, version: version(), drainMs, sharedFd })
  reloadAtHangUp(onHangUp, starting, log, source)
  const app = await starting
  const code = await untilEnd(Promise.race([app.crashed, crashed]), stopped, log)
  const { lostRecords } = await app.stop({ isBroken: code !== EXIT_OK })
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

type LogStyle = Pick<LoggerOptions, 'format' | 'colors'>

function logStyleOf({ log }: Config, { stdout, environment }: Process): LogStyle {
  const automatic = log.file === undefined && stdout.isTTY ? 'text' : 'json'
  return { format: log.format === 'auto' ? automatic : log.format, colors: usesColors(stdout, environment) }
}
