import pino from 'pino'
import type { Logger } from '../../core/model.js'
import type { AuditLine } from '../../http/access/audit.js'
import type { AccessSettings } from '../../http/access/settings.js'
import { type AccessFields, type AccessLog, toAccessLine } from '../../http/server/request-log.js'
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

/** An open access log. */
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
  return target === 'off' ? undefined : new FileAccessLog(target, share, log, random)
}

class FileAccessLog implements OpenAccessLog {
  readonly #target: string
  readonly #share: number
  readonly #log: Logger
  readonly #random: () => number
  readonly #flusher: NodeJS.Timeout
  #lines: AccessFile
  #nowMs = 0
  #now = ''
  #isClosed = false

  constructor(target: string, share: number, log: Logger, random: () => number) {
    this.#target = target
    this.#share = share
    this.#log = log
    this.#random = random
    this.#lines = new AccessFile(target, log)
    this.#flusher = setInterval(() => this.#lines.flush(), FLUSH_MS).unref()
  }

  wants(): boolean {
    return !this.#isClosed && (this.#share === 1 || this.#random() < this.#share)
  }

  write(fields: AccessFields): void {
    this.#lines.write(toAccessLine(this.#time(), fields))
  }

  /** The current time as text. The text is reused within the same millisecond, because many requests end in it. */
  #time(): string {
    const nowMs = Date.now()
    if (nowMs !== this.#nowMs) {
      this.#nowMs = nowMs
      this.#now = new Date(nowMs).toISOString()
    }
    return this.#now
  }

  reopen(): void {
    if (this.#target === 'stdout' || this.#isClosed) return
    const before = this.#lines
    try {
      this.#lines = new AccessFile(this.#target, this.#log)
    } catch (error) {
      this.#log.error({}, (error as Error).message)
      return
    }
    void before.close()
  }

  close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#flusher)
    return this.#lines.close()
  }
}

/** One open file of the access log. */
class AccessFile {
  readonly #file: AppendedFile
  /** `destroy` of the file, which pino takes from it when a pipe is broken. */
  readonly #destroy: () => void
  #isBroken = false
  #isGivenUp = false

  /** @throws ConfigError when it cannot be opened */
  constructor(target: string, log: Logger) {
    this.#file = pino.destination({
      sync: false,
      minLength: WRITE_BYTES,
      maxLength: MAX_WAITING_BYTES,
      dest: target === 'stdout' ? STDOUT : openToAppend(target, 'http.accessLog.target', FILE_MODE),
      retryEAGAIN: () => !this.#isGivenUp
    })
    this.#destroy = this.#file.destroy.bind(this.#file)
    this.#file.on('error', (error: NodeJS.ErrnoException) => {
      this.#isBroken = error.code === 'EPIPE'
      log.error({ err: error }, `access lines cannot be written to ${target}`)
    })
    this.#file.on('drop', () => log.warn({}, `access lines are dropped: ${target} is too slow`))
  }

  write(line: string): void {
    this.#file.write(line)
  }

  flush(): void {
    this.#file.flush()
  }

  /**
   * Resolves when all lines are written or dropped, and after CLOSE_MS at the latest. A slow disk therefore does not
   * prevent the process from ending.
   */
  close(): Promise<void> {
    return new Promise(resolve => {
      const over = (): void => {
        clearTimeout(timer)
        this.#destroy()
        resolve()
      }
      const timer = setTimeout(() => {
        // The file stays open until its last write has ended. Otherwise that write, or the next attempt, would go to the
        // file or connection that has got the same descriptor.
        this.#isGivenUp = true
        this.#file.flushSync = () => undefined
        resolve()
      }, CLOSE_MS)
      if (this.#isBroken) return over()
      this.#file.once('close', over)
      this.#file.once('error', over)
      this.#file.end()
    })
  }
}

/** A file that lines are appended to. */
export type AppendedFile = ReturnType<typeof pino.destination>

interface Options {
  /** Mode bits of a new file. */
  readonly mode?: number
}

/**
 * Opens a file for appending lines. A missing file is created. A missing directory is an error.
 *
 * @param setting the setting that names the file, for messages
 * @throws ConfigError when it cannot be opened
 */
export const openLogFile = (file: string, setting: string, options: Options = {}): AppendedFile =>
  whileOpenToAppend(file, setting, options.mode, () =>
    pino.destination({ sync: true, ...options, dest: file, append: true, mkdir: false })
  )

/** The destination of audit lines. */
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
  const destination = openLogFile(auditFile, 'access.auditFile', { mode: FILE_MODE })
  destination.on('error', error => log.error({ err: error }, `audit lines cannot be written to ${auditFile}`))
  const formatters = { level: (label: string) => ({ level: label }) }
  const file = pino({ base: null, formatters, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  return { write: line => file.info(line), reopen: () => destination.reopen(), close: () => destination.end() }
}
