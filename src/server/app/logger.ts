import pino, { type DestinationStream, type Logger as Pino } from 'pino'
import { CastellanError } from '../../core/errors.js'
import { isoNow } from '../../core/instants.js'
import { messageOf } from '../../core/node-errors.js'
import { printable, printableJson, printableLines } from '../../core/printable.js'
import { type AppendedFile, openDescriptor, openLogFile } from './log-files.js'
import { ANEW } from './progress.js'

/** A pino logger; the rest of the code knows it as the four-method Logger of model.ts. */
export interface AppLogger extends Pick<Pino, 'debug' | 'info' | 'warn' | 'error' | 'flush'> {
  /** Opens the file again, after log rotation has renamed it. */
  reopen(): void
}

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Lines for people, or JSON: with Castellan's fields, or with kprf's. */
  readonly format: 'text' | 'json' | 'kprf'
  /** Whether lines of text are colored. */
  readonly colors: boolean
  /** 1: stdout, 2: stderr. */
  readonly descriptor: 1 | 2
  /** A file that is written instead of the descriptor. */
  readonly file?: string | undefined
  readonly fields?: Readonly<Record<string, string | number>> | undefined
}

/**
 * Names of fields whose values are replaced in log lines, at every depth where fields occur. They could contain
 * secrets. This is a safety net, because no code logs these fields.
 */
const REDACTED = ['password', 'token', 'authorization', 'cookie', 'sasl', 'key', 'value', 'body'].flatMap(name => [
  name,
  `*.${name}`
])

/**
 * Creates the logger. A log line is a JSON object or a readable text. Lines are written synchronously, so that none is
 * lost at exit, unless they go to a pipe that is not read.
 *
 * @throws ConfigError when the file cannot be opened
 */
export function createLogger(options: LoggerOptions): AppLogger {
  const { level, format } = options
  const isText = format === 'text'
  const file = options.file === undefined ? undefined : openLogFile(options.file, 'log.file')
  file?.on('error', error => process.stderr.write(`the log cannot be written: ${messageOf(error)}\n`))
  const target = file ?? options.descriptor
  const log = pino(
    {
      level,
      ...formats[format],
      ...(isText && { formatters: { level: ofLevel, log: printableRecord } }),
      serializers: { err: error => describeError(error, level, isText) },
      redact: { paths: REDACTED, censor: '(secret)' }
    },
    isText ? textStream(options.colors, target) : jsonStream(target)
  )
  const tagged = options.fields === undefined ? log : log.child(options.fields)
  return Object.assign(tagged, { reopen: () => file?.reopen() })
}

const ofLevel = (label: string): object => ({ level: label })
const printableRecord = (fields: object): Record<string, unknown> => printableFields(fields) as Record<string, unknown>

/** kprf's words for levels. Source: slog 2.7, LEVEL_LOG_SHORT_NAMES. */
const kprfLevels = new Map([
  ['debug', 'DEBG'],
  ['info', 'INFO'],
  ['warn', 'WARN'],
  ['error', 'ERRO']
])

const ourFields = { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: ofLevel } }
const formats = {
  text: ourFields,
  json: ourFields,
  kprf: {
    base: { service: 'kprf' },
    timestamp: () => `,"ts":"${isoNow()}"`,
    formatters: { level: (label: string) => ({ level: kprfLevels.get(label) ?? label }) }
  }
}

type LogTarget = LoggerOptions['descriptor'] | AppendedFile

const PLAIN: TextLook = { colors: false, columns: undefined }

/** A narrow window of a terminal, and one whose width is not known. */
const USUAL_COLUMNS = 80

/** Writes lines for people, as wide as the terminal. */
function textStream(colors: boolean, target: LogTarget): DestinationStream {
  const stream = typeof target === 'number' ? openDescriptor(target, line => logText(line, PLAIN)) : target
  const terminal = target === 1 ? process.stdout : target === 2 ? process.stderr : undefined
  const columns = (): number | undefined => (terminal?.isTTY ? terminal.columns || USUAL_COLUMNS : undefined)
  let isAnew = false
  const write = (line: string): void => {
    const before = isAnew ? ANEW : ''
    // How far long work is: the next line takes its place.
    isAnew = terminal?.isTTY === true && line.includes('"progress":')
    const text = logText(line, isAnew ? PLAIN : { colors, columns: columns() })
    stream.write(before + (isAnew ? text.trimEnd().slice(0, columns()! - 1) : text))
  }
  return { write }
}

/** Writes lines of JSON. Escapes the control characters that JSON leaves, because a terminal may show the lines. */
function jsonStream(target: LogTarget): DestinationStream & { flushSync(): void } {
  const stream = typeof target === 'number' ? openDescriptor(target, line => line) : target
  return { write: line => stream.write(printableJson(line)), flushSync: () => stream.flushSync() }
}

/**
 * Escapes the texts in the fields of a readable line, because they may come from a client or a broker. Errors are
 * unchanged: their serializer escapes them.
 */
function printableFields(value: unknown): unknown {
  if (typeof value === 'string') return printable(value)
  if (Array.isArray(value)) return value.map(printableFields)
  if (typeof value !== 'object' || value === null || value instanceof Error) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, printableFields(field)]))
}

/** The frames of a stack, without the message that precedes them. */
const printableStack = (stack: string, message: string): string =>
  printableLines(stack.replace(message, () => printable(message)))

/** Describes an expected failure in one line, and a bug with its stack. */
function describeError(error: unknown, level: LoggerOptions['level'], isText: boolean): unknown {
  if (!(error instanceof Error)) return error
  const { name } = error
  const message = isText ? printable(error.message) : error.message
  const stack = isText && error.stack !== undefined ? printableStack(error.stack, error.message) : error.stack
  const code = 'code' in error ? error.code : undefined
  const isExpected = error instanceof CastellanError && level !== 'debug'
  return isExpected ? { name, code, message } : { name, code, message, stack }
}

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
  const { time, level, msg, err, ...fields }: Readonly<Record<string, unknown>> = JSON.parse(line)
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
