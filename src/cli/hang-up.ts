import { ConfigError } from '../core/errors.js'
import { printable } from '../core/printable.js'
import type { AppLogger } from '../server/app/logger.js'
import type { Config } from '../server/config/config.js'
import { type Reloaded, reloaded } from '../server/config/reload.js'

interface Reloading {
  /** @throws ConfigError when any part cannot be used; then nothing has changed */
  reload(config: Config): Promise<unknown>
  reopenLogs(): void
}

/** Where the configuration comes from. */
export interface ConfigSource {
  /** That with which the process was started. */
  readonly config: Config
  /** Reads it again from the same sources. @throws ConfigError */
  readonly read: () => Config | Promise<Config>
}

/**
 * What a gateway does at SIGHUP. The listener is added before the start: without one the signal ends the process.
 * The log is opened again at once; settings, certificates and keys are read again as soon as the gateway has started.
 *
 * @param starting when it rejects, nothing is read again, and the caller has to report the error
 * @param reopen opens the file of the log again
 */
export function reloadAtHangUp(
  onHangUp: (listener: () => void) => void,
  starting: Promise<Reloading>,
  log: AppLogger,
  source: ConfigSource,
  reopen: () => void = () => log.reopen()
): void {
  let running = source.config
  const reload = async (): Promise<void> => {
    const started = await starting.catch(() => undefined)
    if (started === undefined) return
    try {
      const next = await readAgain(source, running, log)
      if (next === undefined) {
        started.reopenLogs()
        return
      }
      await started.reload(next.config)
      running = next.config
      if (next.needRestart.length > 0) {
        const names = next.needRestart.join(', ')
        log.warn({ settings: next.needRestart }, `SIGHUP: changed, and counts after a restart: ${names}`)
      }
    } catch (error) {
      log.error(...toReloadError(error))
    }
  }
  // One after the other, so that the last one counts.
  let last: Promise<void> = Promise.resolve()
  onHangUp(() => {
    reopen()
    log.info({}, 'SIGHUP: reading certificates and keys again, and settings')
    last = last.then(reload)
  })
}

/** @returns `undefined`: the settings cannot be used, and those before count */
async function readAgain({ read }: ConfigSource, running: Config, log: AppLogger): Promise<Reloaded | undefined> {
  try {
    return reloaded(running, await read())
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const problems = error.message.split('\n').join('; ')
    log.error({}, `SIGHUP: the settings cannot be used, and those before count: ${problems}`)
    return undefined
  }
}

/** The line that tells of it. */
export function toReloadError(error: unknown): [fields: object, message: string] {
  if (!(error instanceof ConfigError)) return [{ err: error }, 'SIGHUP: reading again has failed']
  const problems = printable(error.message.split('\n').join('; '))
  return [{}, `SIGHUP: nothing has changed, and the former settings and files stay: ${problems}`]
}
