import pino from 'pino'
import { isoNow } from '../../core/instants.js'
import { counterFamily } from '../../core/metrics/family.js'
import type { Logger } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import type { AuditLine } from '../../http/access/audit.js'
import type { AccessSettings } from '../../http/access/settings.js'
import { type AccessFields, AccessLines, type AccessLog } from '../../http/server/request-log.js'
import type { HttpSettings } from '../../http/server/settings.js'
import { openToAppend, whileOpenToAppend } from '../config/append-file.js'

/** The mode of new files. Only the owner may read them, because they show the actions of each client. */
const FILE_MODE = 0o600
/** Access lines are collected, and written when they have this many bytes or after FLUSH_MS. */
const WRITE_BYTES = 8 * 1024
const FLUSH_MS = 1_000
/** Maximum number of bytes in lines of a file that wait for a slow or full disk. Further lines are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
const STDOUT = 1
/** A pipe takes so much as a whole or not at all (PIPE_BUF): nothing else that goes into it comes between. */
const PIPE_BYTES = 4 * 1024
/** Time limit of closing. Lines that are not written by then are dropped. */
const CLOSE_MS = 2_000

/**
 * Opens the access log.
 *
 * @param random returns a number in [0, 1)
 * @returns `undefined`: the access log is off
 * @throws ConfigError when the file cannot be opened
 */
export const openAccessLog = (
  { target, share }: HttpSettings['accessLog'],
  log: Logger,
  random: () => number = Math.random
): OpenAccessLog | undefined => (target === 'off' ? undefined : new OpenAccessLog(target, share, log, random))

export class OpenAccessLog implements AccessLog {
  readonly #target: string
  readonly #share: number
  readonly #log: Logger
  readonly #random: () => number
  readonly #flusher: NodeJS.Timeout
  #file: AccessFile
  #isClosed = false
  readonly #lines = new AccessLines()

  constructor(target: string, share: number, log: Logger, random: () => number) {
    this.#target = target
    this.#share = share
    this.#log = log
    this.#random = random
    this.#file = new AccessFile(target, log)
    this.#flusher = setInterval(() => {
      this.#file.give()
      this.#file.lines.flush()
    }, FLUSH_MS).unref()
  }

  wants(): boolean {
    return !this.#isClosed && (this.#share === 1 || this.#random() < this.#share)
  }

  write(fields: AccessFields): void {
    this.#file.write(this.#lines.line(Date.now(), fields))
  }

  /** Opens the file again, after log rotation has renamed it. */
  reopen(): void {
    if (this.#target === 'stdout' || this.#isClosed) return
    const before = this.#file
    try {
      this.#file = new AccessFile(this.#target, this.#log)
    } catch (error) {
      this.#log.error({}, messageOf(error))
      return
    }
    void before.close()
  }

  /** Closes the log. Resolves when every line is written or dropped. */
  close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#flusher)
    return this.#file.close()
  }
}

class AccessFile {
  readonly lines: AppendedFile
  readonly #destroy: () => void
  readonly #writeBytes: number
  /**
   * Lines that pino does not have yet. They are collected, because pino copies all waiting lines with each call to count their
   * bytes.
   */
  #collected = ''
  #isBroken = false
  #isGivenUp = false

  /** @throws ConfigError when it cannot be opened */
  constructor(target: string, log: Logger) {
    const isPipe = target === 'stdout'
    const dest = isPipe ? STDOUT : openToAppend(target, 'http.accessLog.target', FILE_MODE)
    this.#writeBytes = isPipe ? PIPE_BYTES : WRITE_BYTES
    // With a minimum of 0, `flush` would not try lines again that a full disk has refused.
    const size = {
      maxLength: MAX_WAITING_BYTES,
      ...(isPipe ? { minLength: 1, maxWrite: PIPE_BYTES } : { minLength: WRITE_BYTES })
    }
    this.lines = pino.destination({ sync: false, ...size, dest, retryEAGAIN: () => !this.#isGivenUp })
    // pino takes it from the file when a pipe is broken.
    this.#destroy = this.lines.destroy.bind(this.lines)
    this.lines.on('error', (error: NodeJS.ErrnoException) => {
      this.#isBroken = error.code === 'EPIPE'
      log.error({ err: error }, `access lines cannot be written to ${target}`)
    })
    this.lines.on('drop', () => log.warn({}, `access lines are dropped: ${target} is too slow`))
    // pino writes what it has when the process exits.
    process.prependListener('exit', this.give)
  }

  write(line: string): void {
    if (this.#collected.length + line.length > this.#writeBytes) this.give()
    this.#collected += line
  }

  readonly give = (): void => {
    if (this.#collected !== '') this.lines.write(this.#collected)
    this.#collected = ''
  }

  /**
   * Resolves when all lines are written or dropped, and after CLOSE_MS at the latest. A slow disk therefore does not
   * prevent the process from ending.
   */
  close(): Promise<void> {
    process.off('exit', this.give)
    this.give()
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
        this.lines.flushSync = () => undefined
        resolve()
      }, CLOSE_MS)
      if (this.#isBroken) return over()
      this.lines.once('close', over)
      this.lines.once('error', over)
      this.lines.end()
    })
  }
}

export type AppendedFile = ReturnType<typeof pino.destination>

/**
 * Opens a file for appending lines. A missing file is created. A missing directory is an error.
 *
 * @param setting the setting that names the file, for messages
 * @param mode mode bits of a new file
 * @throws ConfigError when it cannot be opened
 */
export function openLogFile(file: string, setting: string, mode?: number): AppendedFile {
  const options = { ...(mode !== undefined && { mode }), dest: file, append: true, mkdir: false }
  return whileOpenToAppend(file, setting, mode, () => {
    const lines = pino.destination({ sync: true, maxLength: MAX_WAITING_BYTES, ...options })
    // A line that is dropped is not tried: those that wait for space on the disk are.
    return lines.on('drop', () => {
      droppedLogLines.series({}).value++
      lines.write('')
    })
  })
}

/** Lines of the log that nothing took, of this process. */
export const droppedLogLines = counterFamily(
  'castellan_log_dropped_lines_total',
  'Lines of the log that were dropped because nothing took them: a pipe that is not read, or a full disk'
)

/** Maximum number of bytes in log lines that wait for the reader of a pipe, or for a disk. Further lines are dropped. */
const MAX_LOG_BYTES = 1024 * 1024
/** After this time a full pipe, or disk, is tried again. */
const RETRY_MS = 100
/** Time limit of the last lines at exit. */
export const LAST_WORDS_MS = 1_000

/**
 * Opens stdout or stderr for log lines. Where it is a pipe that is not read, or on a full disk, lines wait, and are dropped beyond
 * a limit: the process goes on. The number of dropped lines is written once there is space, and the last one of them after it.
 *
 * @param textOf makes the line that tells the number, from JSON
 */
export function openDescriptor(dest: 1 | 2, textOf: (line: string) => string): AppendedFile {
  // Node makes a pipe one that does not block, when its stream is asked for.
  void (dest === 1 ? process.stdout : process.stderr)
  let endsAt = Number.NEGATIVE_INFINITY
  let retry: NodeJS.Timeout | undefined
  let dropped = 0
  let last = ''
  let told = ''
  const size = { maxLength: MAX_LOG_BYTES, maxWrite: PIPE_BYTES }
  const lines = pino.destination({ sync: true, ...size, dest, retryEAGAIN: () => performance.now() < endsAt })
  const goOn = (): void => {
    retry = undefined
    lines.write('')
    if (retry !== undefined || dropped === 0) return
    const time = isoNow()
    const fields = { level: 'warn', time, droppedLines: dropped - 1, msg: 'log lines were dropped: nothing took them' }
    const text = dropped > 1 ? textOf(`${JSON.stringify(fields)}\n`) + last : last
    dropped = 0
    lines.write(text)
  }
  lines.on('drop', (line: string) => {
    dropped++
    droppedLogLines.series({}).value++
    last = line
  })
  lines.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') return
    if (code !== 'EAGAIN' && dest === STDOUT && message !== told)
      process.stderr.write(`the log cannot be written: ${message}\n`)
    told = message
    retry ??= setTimeout(goOn, RETRY_MS).unref()
  })
  process.once('exit', () => {
    endsAt = performance.now() + LAST_WORDS_MS
    goOn()
  })
  return lines
}

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
  return { write: line => file.info(line, 'audit'), reopen: () => destination.reopen(), close: () => destination.end() }
}
