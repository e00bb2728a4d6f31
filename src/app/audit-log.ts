import pino from 'pino'
import type { AuditLine } from '../access/audit.js'
import type { AccessSettings } from '../config/access-settings.js'
import { ConfigError } from '../errors.js'
import type { Logger } from '../model.js'

/** Readable by its owner only: who does what is nobody else's business. */
const FILE_MODE = 0o600

/** Where audit lines go. */
export interface AuditLog {
  write(line: AuditLine): void
  /** Opens the file again, after somebody has moved it away. */
  reopen(): void
  close(): void
}

/**
 * Opens the audit file, or writes to the log when none is named. Every line is written before the request goes on.
 *
 * @throws ConfigError when the file cannot be opened
 */
export function openAuditLog({ audit, auditFile }: AccessSettings, log: Logger): AuditLog {
  if (audit === 'off' || auditFile === undefined) {
    return { write: line => log.info(line, 'audit'), reopen: () => undefined, close: () => undefined }
  }
  const destination = openFile(auditFile)
  destination.on('error', error => log.error({ err: error }, `audit lines cannot be written to ${auditFile}`))
  const formatters = { level: (label: string) => ({ level: label }) }
  const file = pino({ base: null, formatters, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  return { write: line => file.info(line), reopen: () => destination.reopen(), close: () => destination.end() }
}

function openFile(auditFile: string): ReturnType<typeof pino.destination> {
  try {
    return pino.destination({ dest: auditFile, append: true, mkdir: false, sync: true, mode: FILE_MODE })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(`access.auditFile: cannot write ${auditFile} (${code})`)
  }
}
