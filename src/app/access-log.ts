import pino from 'pino'
import { type AccessFields, type AccessLog, toAccessLine } from '../http/access-log.js'
import type { HttpSettings } from '../http/settings.js'
import type { Logger } from '../model.js'
import { type LogFile, openLogFile } from './log-file.js'

/** Readable by its owner only: it tells which client did what. */
const FILE_MODE = 0o600
/** Lines are written together: so many bytes, or after so long. */
const WRITE_BYTES = 8 * 1024
const FLUSH_MS = 1_000
/** Lines that wait for a slow disk; further ones are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
const STDOUT = 1

/** An access log that is open. */
export interface OpenAccessLog extends AccessLog {
  /** Opens the file again, after log rotation has renamed it. */
  reopen(): void
  /** Resolves when every line is written. */
  close(): Promise<void>
}

/**
 * Opens the access log; `undefined`: there is none.
 *
 * @param random [0, 1)
 * @throws ConfigError when the file cannot be opened
 */
export function openAccessLog(
  { target, share }: HttpSettings['accessLog'],
  log: Logger,
  random: () => number = Math.random
): OpenAccessLog | undefined {
  if (target === 'off') return undefined
  const options = { sync: false, minLength: WRITE_BYTES, maxLength: MAX_WAITING_BYTES }
  const setting = 'http.accessLog.target'
  // Lines are written without holding up requests, and such a file is opened later: this finds out whether it can be.
  if (target !== 'stdout') openLogFile(target, setting, { mode: FILE_MODE }).end()
  const lines =
    target === 'stdout'
      ? pino.destination({ ...options, dest: STDOUT })
      : openLogFile(target, setting, { ...options, mode: FILE_MODE })
  lines.on('error', error => log.error({ err: error }, `access lines cannot be written to ${target}`))
  lines.on('drop', () => log.warn({}, `access lines are dropped: ${target} is too slow`))
  return new FileAccessLog(lines, share, random)
}

class FileAccessLog implements OpenAccessLog {
  readonly #lines: LogFile
  readonly #share: number
  readonly #random: () => number
  readonly #flusher: NodeJS.Timeout
  #nowMs = 0
  #now = ''
  #isOpen = false
  #isClosed = false

  constructor(lines: LogFile, share: number, random: () => number) {
    this.#lines = lines
    this.#share = share
    this.#random = random
    lines.once('ready', () => {
      this.#isOpen = true
    })
    this.#flusher = setInterval(() => this.#isOpen && lines.flush(), FLUSH_MS).unref()
  }

  wants(): boolean {
    return !this.#isClosed && (this.#share === 1 || this.#random() < this.#share)
  }

  write(fields: AccessFields): void {
    this.#lines.write(toAccessLine(this.#time(), fields))
  }

  /** Many requests end within a millisecond. */
  #time(): string {
    const nowMs = Date.now()
    if (nowMs !== this.#nowMs) {
      this.#nowMs = nowMs
      this.#now = new Date(nowMs).toISOString()
    }
    return this.#now
  }

  reopen(): void {
    this.#lines.reopen()
  }

  close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#flusher)
    return new Promise(resolve => {
      this.#lines.once('close', resolve)
      this.#lines.once('error', () => resolve())
      this.#lines.end()
    })
  }
}
