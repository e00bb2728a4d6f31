import type { AppLogger } from '../app/logger.js'

interface Reloading {
  reload(): Promise<unknown>
}

/**
 * What a gateway does at SIGHUP. The listener is added before the start: without one the signal ends the process.
 * The log is opened again at once; certificates and keys are read again as soon as the gateway has started.
 *
 * @param starting when it rejects, nothing is read again, and the caller has to report the error
 * @param reopen opens the file of the log again
 */
export function reloadAtHangUp(
  onHangUp: (listener: () => void) => void,
  starting: Promise<Reloading>,
  log: AppLogger,
  reopen: () => void = () => log.reopen()
): void {
  onHangUp(() => {
    reopen()
    log.info({}, 'SIGHUP: reading certificates and keys again')
    void reloadOnceStarted(starting, log)
  })
}

async function reloadOnceStarted(starting: Promise<Reloading>, log: AppLogger): Promise<void> {
  const started = await starting.catch(() => undefined)
  try {
    await started?.reload()
  } catch (error) {
    log.error({ err: error }, 'reading certificates and keys again has failed')
  }
}
