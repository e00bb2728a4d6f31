import { setNewest } from '../../core/maps.js'
import type { Logger, MonotonicClock } from '../../core/model.js'

/** A repeated line is written again after this pause. The pause doubles each time, up to a maximum. */
const FIRST_PAUSE_MS = 10_000
const LONGEST_PAUSE_MS = 600_000

/**
 * Maximum number of different lines that are remembered. When there are more, the oldest line is forgotten, so it is
 * written at once when it is repeated.
 */
const MAX_LINES = 1_000

interface QuietLine {
  pauseMs: number
  silentUntil: number
  repeated: number
}

/**
 * Keeps warnings and errors from flooding the log: a line is written at once, then after 10 s, 20 s, 40 s, … with the
 * number of suppressed repetitions as `repeated`. Two lines are equal when they have the same message, cluster, broker,
 * topic, partition, webhook and group id and, with a group id, the same offset: each message that a queue or a webhook loses is
 * told. A line that does not occur for a whole pause counts as new.
 */
export function quietLogger(log: Logger, now: MonotonicClock): Logger {
  const lines = new Map<string, QuietLine>()
  const write = (level: 'warn' | 'error', fields: object, message: string): void => {
    const key = keyOf(fields, message)
    const at = now()
    const known = lines.get(key)
    if (known && at < known.silentUntil) {
      known.repeated++
      return
    }
    const isNew = !known || at >= known.silentUntil + known.pauseMs
    const pauseMs = isNew ? FIRST_PAUSE_MS : Math.min(known.pauseMs * 2, LONGEST_PAUSE_MS)
    setNewest(lines, key, { pauseMs, silentUntil: at + pauseMs, repeated: 0 }, MAX_LINES)
    log[level](known && known.repeated > 0 ? { ...fields, repeated: known.repeated } : fields, message)
  }
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message)
  }
}

function keyOf(fields: object, message: string): string {
  const { nodeId = '', topic = '', partition = '', cluster = '', webhook = '' } = fields as Record<string, unknown>
  const { groupId, offset } = fields as Record<string, unknown>
  const ofGroup = groupId === undefined ? '' : `${offset}\n${groupId}`
  return `${message}\n${nodeId}\n${topic}\n${partition}\n${cluster}\n${webhook}\n${ofGroup}`
}
