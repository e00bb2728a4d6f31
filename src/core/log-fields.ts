import type { Logger } from './model.js'

/** A log whose lines have these fields, too. */
export const withFields = (log: Logger, own: object): Logger => ({
  debug: (fields, message) => log.debug({ ...own, ...fields }, message),
  info: (fields, message) => log.info({ ...own, ...fields }, message),
  warn: (fields, message) => log.warn({ ...own, ...fields }, message),
  error: (fields, message) => log.error({ ...own, ...fields }, message)
})
