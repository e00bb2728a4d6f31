import pino from 'pino'
import type { Logger } from '../../core/model.js'
import type { AuditLine } from '../../http/access/audit.js'
import type { AccessSettings } from '../../http/access/settings.js'
import { openLogFile } from './log-file.js'

/** Readable by its owner only: it tells which client did what. */
const FILE_MODE = 0o600

/** Where audit lines go. */
export interface AuditLog {
  write(line: AuditLine): void
  /** Opens the file again, after log rotation has renamed it. */
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
  const destination = openLogFile(auditFile, 'access.auditFile', { mode: FILE_MODE })
  destination.on('error', error => log.error({ err: error }, `audit lines cannot be written to ${auditFile}`))
  const formatters = { level: (label: string) => ({ level: label }) }
  const file = pino({ base: null, formatters, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  return { write: line => file.info(line), reopen: () => destination.reopen(), close: () => destination.end() }
}
