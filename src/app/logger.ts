import pino, { type DestinationStream, type Logger as Pino } from 'pino'
import pretty from 'pino-pretty'
import { CastellanError } from '../errors.js'

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
  const destination: DestinationStream = isPretty
    ? pretty({
        destination: descriptor,
        sync: true,
        colorize: colors,
        ignore: 'pid,hostname',
        singleLine: true,
        translateTime: 'SYS:HH:MM:ss'
      })
    : pino.destination({ dest: descriptor, sync: true })
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      serializers: { err: error => describeError(error, level) },
      redact: { paths: REDACTED, censor: '(secret)' }
    },
    destination
  )
}

/** A failure that was expected is told in a line; where a bug happened must be known. */
function describeError(error: unknown, level: LoggerOptions['level']): unknown {
  if (!(error instanceof Error)) return error
  const { name, message, stack } = error
  const code = 'code' in error ? error.code : undefined
  const isExpected = error instanceof CastellanError && level !== 'debug'
  return isExpected ? { name, code, message } : { name, code, message, stack }
}
