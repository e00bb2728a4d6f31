import type { Logger } from '../../core/model.js'
import { shortened } from '../../core/printable.js'

/** A log whose lines name the group. Names are up to 32,767 characters long and come from clients, so they are cut. */
export function logOfGroup(log: Logger, groupId: string): Logger {
  const name = { groupId: shortened(groupId) }
  return {
    debug: (fields, message) => log.debug({ ...name, ...fields }, message),
    info: (fields, message) => log.info({ ...name, ...fields }, message),
    warn: (fields, message) => log.warn({ ...name, ...fields }, message),
    error: (fields, message) => log.error({ ...name, ...fields }, message)
  }
}
