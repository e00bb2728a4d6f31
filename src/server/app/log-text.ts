import { printable } from '../../core/printable.js'

export interface TextLook {
  readonly colors: boolean
  /** Width of the terminal; `undefined`: lines are not wrapped. */
  readonly columns: number | undefined
}

const COLORS: ReadonlyMap<unknown, number> = new Map([
  ['debug', 34],
  ['info', 32],
  ['warn', 33],
  ['error', 31]
])

/** A message with a command, which is copied as one line. */
const COMMAND = /: (?:curl|npx) /

/**
 * A line of the log for people: time, level, message, and the fields that the message does not tell.
 *
 *   [09:11:04] INFO: Kafka answers (host 127.0.0.1, port 9092)
 *
 * @param line as pino writes it in JSON; the texts in its fields are printable
 */
export function logText(line: string, { colors, columns }: TextLook): string {
  const { time, level, msg, err, ...fields } = JSON.parse(line) as Readonly<Record<string, unknown>>
  const message = printable(String(msg ?? ''))
  const { message: reason, stack } = (err ?? {}) as { readonly message?: string; readonly stack?: string }
  const untold = Object.entries({ ...fields, ...(stack === undefined && reason !== undefined && { reason }) })
    .filter(([, value]) => !isTold(message, value))
    .map(([name, value]) => `${name} ${textOf(value)}`)
  const color = colors ? COLORS.get(level) : undefined
  const label = String(level).toUpperCase()
  const text = untold.length === 0 ? message : `${message} (${untold.join(', ')})`
  const whole = `[${clockTime(new Date(time as string))}] ${label}: ${text}`
  const shown = columns === undefined || COMMAND.test(message) ? whole : wrapped(whole, columns)
  const trace = stack === undefined ? '' : `\n    ${stack.replaceAll('\n', '\n    ')}`
  return `${color === undefined ? shown : shown.replace(label, `\u001b[${color}m${label}\u001b[39m`)}${trace}\n`
}

const clockTime = (date: Date): string =>
  [date.getHours(), date.getMinutes(), date.getSeconds()].map(part => String(part).padStart(2, '0')).join(':')

/** A number counts as told where it stands by itself, not as a part of an address. */
function isTold(message: string, value: unknown): boolean {
  if (Array.isArray(value)) return value.every(one => isTold(message, one))
  return typeof value === 'string' ? message.includes(value) : message.split(/[\s,;()]+/).includes(String(value))
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join(' ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function wrapped(text: string, columns: number): string {
  let at = 0
  return text
    .split(' ')
    .map((word, index) => {
      const isNext = at + 1 + word.length > columns && index > 0
      at = isNext ? 4 + word.length : at + word.length + (index > 0 ? 1 : 0)
      return index === 0 ? word : `${isNext ? '\n    ' : ' '}${word}`
    })
    .join('')
}
