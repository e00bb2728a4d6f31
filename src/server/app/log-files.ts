import pino from 'pino'
import type { Logger } from '../../core/model.js'
import type { AuditLine } from '../../http/access/audit.js'
import type { AccessSettings } from '../../http/access/settings.js'
import { type AccessLog, toAccessLine } from '../../http/server/request-log.js'
import type { HttpSettings } from '../../http/server/settings.js'
import { openToAppend, whileOpenToAppend } from '../config/append-file.js'

/** The mode of new files. Only the owner may read them, because they show the actions of each client. */
const FILE_MODE = 0o600
/** Access lines are collected, and written when they have this many bytes or after FLUSH_MS. */
const WRITE_BYTES = 8 * 1024
const FLUSH_MS = 1_000
/** Maximum number of bytes in access lines that wait for a slow disk. Further lines are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
const STDOUT = 1
/** Time limit of closing. Lines that are not written by then are dropped. */
const CLOSE_MS = 2_000

export interface OpenAccessLog extends AccessLog {
  /** Opens the file again, after log rotation has renamed it. */
  reopen(): void
  /** Closes the log. Resolves when every line is written or dropped. */
  close(): Promise<void>
}

/**
 * Opens the access log.
 *
 * @param random returns a number in [0, 1)
 * @returns `undefined`: the access log is off
 * @throws ConfigError when the file cannot be opened
 */
export function openAccessLog(
  { target, share }: HttpSettings['accessLog'],
  log: Logger,
  random: () => number = Math.random
): OpenAccessLog | undefined {
  if (target === 'off') return undefined
  let file = openAccessFile(target, log)
  let isClosed = false
  // The text of the time is reused within the same millisecond, because many requests end in it.
  let [nowMs, now] = [0, '']
  const flusher = setInterval(() => file.lines.flush(), FLUSH_MS).unref()
  return {
    wants: () => !isClosed && (share === 1 || random() < share),
    write: fields => {
      if (Date.now() !== nowMs) {
        nowMs = Date.now()
        now = new Date(nowMs).toISOString()
      }
      file.lines.write(toAccessLine(now, fields))
    },
    reopen: () => {
      if (target === 'stdout' || isClosed) return
      const before = file
      try {
        file = openAccessFile(target, log)
      } catch (error) {
        log.error({}, (error as Error).message)
        return
      }
      void before.close()
    },
    close: () => {
      isClosed = true
      clearInterval(flusher)
      return file.close()
    }
  }
}

interface AccessFile {
  readonly lines: AppendedFile
  /**
   * Resolves when all lines are written or dropped, and after CLOSE_MS at the latest. A slow disk therefore does not
   * prevent the process from ending.
   */
  close(): Promise<void>
}

/** @throws ConfigError when it cannot be opened */
function openAccessFile(target: string, log: Logger): AccessFile {
  let isBroken = false
  let isGivenUp = false
  const lines = pino.destination({
    sync: false,
    minLength: WRITE_BYTES,
    maxLength: MAX_WAITING_BYTES,
    dest: target === 'stdout' ? STDOUT : openToAppend(target, 'http.accessLog.target', FILE_MODE),
    retryEAGAIN: () => !isGivenUp
  })
  // pino takes it from the file when a pipe is broken.
  const destroy = lines.destroy.bind(lines)
  lines.on('error', (error: NodeJS.ErrnoException) => {
    isBroken = error.code === 'EPIPE'
    log.error({ err: error }, `access lines cannot be written to ${target}`)
  })
  lines.on('drop', () => log.warn({}, `access lines are dropped: ${target} is too slow`))
  const close = (): Promise<void> =>
    new Promise(resolve => {
      const over = (): void => {
        clearTimeout(timer)
        destroy()
        resolve()
      }
      const timer = setTimeout(() => {
        // The file stays open until its last write has ended. Otherwise that write, or the next attempt, would go to the
        // file or connection that has got the same descriptor.
        isGivenUp = true
        lines.flushSync = () => undefined
        resolve()
      }, CLOSE_MS)
      if (isBroken) return over()
      lines.once('close', over)
      lines.once('error', over)
      lines.end()
    })
  return { lines, close }
}

export type AppendedFile = ReturnType<typeof pino.destination>

/**
 * Opens a file for appending lines. A missing file is created. A missing directory is an error.
 *
 * @param setting the setting that names the file, for messages
 * @param mode mode bits of a new file
 * @throws ConfigError when it cannot be opened
 */
export const openLogFile = (file: string, setting: string, mode?: number): AppendedFile =>
  whileOpenToAppend(file, setting, mode, () =>
    pino.destination({ sync: true, ...(mode !== undefined && { mode }), dest: file, append: true, mkdir: false })
  )

export interface AuditLog {
  write(line: AuditLine): void
  /** Opens the file again, after log rotation has renamed it. */
  reopen(): void
  close(): void
}

/**
 * Opens the audit file. Without a file, audit lines are written to the log. A request continues only after its line is
 * written.
 *
 * @throws ConfigError when the file cannot be opened
 */
export function openAuditLog({ audit, auditFile }: AccessSettings, log: Logger): AuditLog {
  if (audit === 'off' || auditFile === undefined) {
    return { write: line => log.info(line, 'audit'), reopen: () => undefined, close: () => undefined }
  }
  const destination = openLogFile(auditFile, 'access.auditFile', FILE_MODE)
  destination.on('error', error => log.error({ err: error }, `audit lines cannot be written to ${auditFile}`))
  const formatters = { level: (label: string) => ({ level: label }) }
  const file = pino({ base: null, formatters, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  return { write: line => file.info(line), reopen: () => destination.reopen(), close: () => destination.end() }
}
