import pino, { type DestinationStream, type Logger as Pino } from 'pino'
import pretty from 'pino-pretty'
import { CastellanError } from '../errors.js'
import { printable, printableJson, printableLines } from '../printable.js'

/** A pino logger: rooms take it as the four-method Logger of model.ts. */
export type AppLogger = Pick<Pino, 'debug' | 'info' | 'warn' | 'error' | 'flush'>

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  readonly pretty: boolean
  readonly colors: boolean
  /** 1: stdout, 2: stderr. */
  readonly descriptor: 1 | 2
}

/** Names under which a secret could reach a log line, at the depths fields have. A belt: no room logs any of them. */
const REDACTED = ['password', 'token', 'authorization', 'cookie', 'sasl', 'key', 'value', 'body'].flatMap(name => [
  name,
  `*.${name}`
])

/** One JSON object a line, or one line for people. Written synchronously, so that nothing is lost at exit. */
export function createLogger({ level, pretty: isPretty, colors, descriptor }: LoggerOptions): AppLogger {
  const destination = isPretty ? prettyStream(colors, descriptor) : jsonStream(descriptor)
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: label => ({ level: label }),
        ...(isPretty && { log: fields => printableFields(fields) as Record<string, unknown> })
      },
      serializers: { err: error => describeError(error, level, isPretty) },
      redact: { paths: REDACTED, censor: '(secret)' }
    },
    destination
  )
}

function prettyStream(colors: boolean, descriptor: LoggerOptions['descriptor']): DestinationStream {
  return pretty({
    destination: descriptor,
    sync: true,
    colorize: colors,
    ignore: 'pid,hostname',
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss',
    messageFormat: (line, messageKey) => printable(String(line[messageKey]))
  })
}

/** Control characters that JSON leaves as they are must not reach a terminal either. */
function jsonStream(descriptor: LoggerOptions['descriptor']): DestinationStream & { flushSync(): void } {
  const stream = pino.destination({ dest: descriptor, sync: true })
  return { write: line => stream.write(printableJson(line)), flushSync: () => stream.flushSync() }
}

/** The fields of a pretty line, whose texts may come from a client or a broker. Errors are left to their serializer. */
function printableFields(value: unknown): unknown {
  if (typeof value === 'string') return printable(value)
  if (Array.isArray(value)) return value.map(printableFields)
  if (typeof value !== 'object' || value === null || value instanceof Error) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, printableFields(field)]))
}

/** Its lines are those of its frames; what comes before them is the message. */
const printableStack = (stack: string, message: string): string =>
  printableLines(stack.replace(message, () => printable(message)))

/** A failure that was expected is told in a line; where a bug happened must be known. */
function describeError(error: unknown, level: LoggerOptions['level'], isPretty: boolean): unknown {
  if (!(error instanceof Error)) return error
  const { name } = error
  const message = isPretty ? printable(error.message) : error.message
  const stack = isPretty && error.stack !== undefined ? printableStack(error.stack, error.message) : error.stack
  const code = 'code' in error ? error.code : undefined
  const isExpected = error instanceof CastellanError && level !== 'debug'
  return isExpected ? { name, code, message } : { name, code, message, stack }
}
