import { chmodSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { apis } from '../apis/apis.js'
import { threadModule } from '../core/thread-module.js'
import { unixSocketsOf } from '../server/app/apis.js'
import type { AppLogger } from '../server/app/logger.js'
import { startWorkers } from '../server/app/workers.js'
import { workerForker } from '../server/workers/worker-process.js'
import { EXIT_FAILURE, type Process } from './command.js'
import { type ConfigSource, reloadAtHangUp } from './hang-up.js'
import { untilEnd } from './until-end.js'
import { version } from './version.js'

/** Sockets are for their owner alone until they have their mode. */
const PRIVATE = 0o177

/**
 * Serves by several processes until it is stopped.
 *
 * @param style how lines of the log look
 * @returns the exit code
 */
export async function serveWithWorkers(
  source: ConfigSource,
  { stopped, crashed, onHangUp, stdout, stderr }: Process,
  log: AppLogger,
  { style, drainMs }: { style: { pretty: boolean; colors: boolean }; drainMs: number }
): Promise<number> {
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
    fork: workerForker(fileURLToPath(threadModule('./worker.js', import.meta.url))),
    stdout: lines => void stdout.write(lines),
    stderr: lines => void stderr.write(lines),
    onStarted: () => {
      for (const { path, mode } of sockets) chmodSync(path, Number.parseInt(mode, 8))
    }
  })
  reloadAtHangUp(onHangUp, starting, log, source, () => withUmask(umask, () => log.reopen()))
  const workers = await starting
  // A second signal ends this process at once, and its workers with it.
  process.once('exit', () => workers.kill())
  const code = await untilEnd(crashed, stopped, log)
  const { lostRecords } = await workers.stop()
  return lostRecords > 0 ? EXIT_FAILURE : code
}

function withUmask(mask: number, run: () => void): void {
  const former = process.umask(mask)
  try {
    run()
  } finally {
    process.umask(former)
  }
}
