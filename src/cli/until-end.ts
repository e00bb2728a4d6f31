import type { Logger } from '../core/model.js'
import { aborted, EXIT_FAILURE, EXIT_OK } from './command.js'

/**
 * Serves until it is told to stop, or something has broken that only a new process can mend. Records in memory can most
 * likely still be written then.
 *
 * @returns the exit code, if nothing is lost at the end
 */
export function untilEnd(broken: Promise<unknown>, stopped: AbortSignal, log: Logger): Promise<number> {
  const crash = broken.then(error => {
    log.error({ err: error }, 'something has broken that only a new process can mend')
    return EXIT_FAILURE
  })
  return Promise.race([crash, aborted(stopped).then(() => EXIT_OK)])
}
