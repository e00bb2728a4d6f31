import type { Logger, MonotonicClock } from './model.js'
import { printable, shortened } from './printable.js'

/** Different lines that are remembered; the one that was repeated longest ago is forgotten first. */
const MAX_LINES = 50

/** A warning or error of the log, as often as it was written. */
export interface RecentLine {
  readonly level: 'warn' | 'error'
  readonly message: string
  readonly count: number
  /** Monotonic milliseconds of the last time. */
  readonly lastAt: number
  readonly topic: string | undefined
  readonly group: string | undefined
}

/**
 * Remembers the last warnings and errors that pass through a logger, for the status page: their messages and the names
 * of topic and group, and no other field.
 */
export class RecentLines {
  readonly #clock: MonotonicClock
  readonly #lines = new Map<string, RecentLine>()

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  /** A logger that remembers what it passes on. */
  of(log: Logger): Logger {
    return {
      debug: (fields, message) => log.debug(fields, message),
      info: (fields, message) => log.info(fields, message),
      warn: (fields, message) => {
        this.#note('warn', fields, message)
        log.warn(fields, message)
      },
      error: (fields, message) => {
        this.#note('error', fields, message)
        log.error(fields, message)
      }
    }
  }

  all(): readonly RecentLine[] {
    return [...this.#lines.values()]
  }

  #note(level: RecentLine['level'], fields: object, message: string): void {
    const { topic, group } = fields as { topic?: unknown; group?: unknown }
    const line = {
      level,
      message: printable(shortened(message)),
      topic: typeof topic === 'string' ? shortened(topic) : undefined,
      group: typeof group === 'string' ? shortened(group) : undefined
    }
    const key = `${line.message}\n${line.topic}\n${line.group}`
    const count = (this.#lines.get(key)?.count ?? 0) + 1
    this.#lines.delete(key)
    this.#lines.set(key, { ...line, count, lastAt: this.#clock() })
    if (this.#lines.size > MAX_LINES) this.#lines.delete(this.#lines.keys().next().value!)
  }
}
