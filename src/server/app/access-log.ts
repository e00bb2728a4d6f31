import pino from 'pino'
import type { Logger } from '../../core/model.js'
import { type AccessFields, type AccessLog, toAccessLine } from '../../http/server/access-log.js'
import type { HttpSettings } from '../../http/server/settings.js'
import { openToAppend } from '../config/append-file.js'
import type { LogFile } from './log-file.js'

/** Readable by its owner only: it tells which client did what. */
const FILE_MODE = 0o600
/** Lines are written together: so many bytes, or after so long. */
const WRITE_BYTES = 8 * 1024
const FLUSH_MS = 1_000
/** Lines that wait for a slow disk; further ones are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
const STDOUT = 1
/** Lines that are not written this long after the end are dropped. */
const CLOSE_MS = 2_000

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
  return target === 'off' ? undefined : new FileAccessLog(target, share, log, random)
}

function openLines(target: string, log: Logger): LogFile {
  const dest = target === 'stdout' ? STDOUT : openToAppend(target, 'http.accessLog.target', FILE_MODE)
  const lines = pino.destination({ sync: false, minLength: WRITE_BYTES, maxLength: MAX_WAITING_BYTES, dest })
  lines.on('error', error => log.error({ err: error }, `access lines cannot be written to ${target}`))
  lines.on('drop', () => log.warn({}, `access lines are dropped: ${target} is too slow`))
  return lines
}

class FileAccessLog implements OpenAccessLog {
  readonly #target: string
  readonly #share: number
  readonly #log: Logger
  readonly #random: () => number
  readonly #flusher: NodeJS.Timeout
  #lines: LogFile
  #nowMs = 0
  #now = ''
  #isClosed = false

  constructor(target: string, share: number, log: Logger, random: () => number) {
    this.#target = target
    this.#share = share
    this.#log = log
    this.#random = random
    this.#lines = openLines(target, log)
    this.#flusher = setInterval(() => this.#lines.flush(), FLUSH_MS).unref()
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
    if (this.#target === 'stdout' || this.#isClosed) return
    const before = this.#lines
    try {
      this.#lines = openLines(this.#target, this.#log)
    } catch (error) {
      this.#log.error({}, (error as Error).message)
      return
    }
    void closed(before)
  }

  close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#flusher)
    return closed(this.#lines)
  }
}

/** Resolves when everything is written, or cannot be. What is left then must not keep the process from ending. */
function closed(lines: LogFile): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(giveUp, CLOSE_MS)
    function giveUp(): void {
      clearTimeout(timer)
      lines.destroy()
      resolve()
    }
    lines.once('close', giveUp)
    lines.once('error', giveUp)
    lines.end()
  })
}
