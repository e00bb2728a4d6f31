import { defaultLogger, type MetricsLogger } from './metrics/metrics-logger.js'
import { type Logger, silentLogger } from './model.js'
import { messageOf } from './node-errors.js'

/** A logger of the user => its guard, which several parts share. A logger that needs no guard is its own. */
const guards = new WeakMap<object, object>([
  [defaultLogger, defaultLogger],
  [silentLogger, silentLogger]
])

function guardOf<Given extends object>(inner: Given, create: (inner: Given) => Given): Given {
  let guard = guards.get(inner) as Given | undefined
  if (guard === undefined) guards.set(inner, (guard = create(inner)))
  guards.set(guard, guard)
  return guard
}

/** The loggers and functions whose first failure was told. */
const told = new WeakSet<object>()

function tell(what: string, failed: object, error: unknown): void {
  if (told.has(failed)) return
  told.add(failed)
  const warning = { type: 'CastellanWarning', code: 'CASTELLAN_USERS_CODE', detail: stackOf(error) }
  process.emitWarning(`${what} threw: ${messageOf(error)}`, warning)
}

function stackOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.stack ?? '') : ''
  } catch {
    return ''
  }
}

/** An `async` function fails by its promise. @param failed called with what it rejects with */
export function watchRejection(returned: unknown, failed: (error: unknown) => void): void {
  if (returned instanceof Promise) returned.catch(failed)
}

const watch = (what: string, failed: object, returned: unknown): void =>
  watchRejection(returned, error => tell(what, failed, error))

/**
 * A metrics logger that passes measurements on and never throws. The first failure of `inner` is a warning of the
 * process. A logger without `gauge` is not called for gauges.
 */
export const guardedMetrics = (inner: MetricsLogger): MetricsLogger => guardOf(inner, guardMetrics)

function guardMetrics(inner: MetricsLogger): MetricsLogger {
  const what = 'the metrics logger'
  const passOn =
    (name: keyof MetricsLogger): Required<MetricsLogger>['gauge'] =>
    (component, metricName, tags, value) => {
      try {
        watch(what, inner, inner[name]?.(component, metricName, tags, value))
      } catch (error) {
        tell(what, inner, error)
      }
    }
  return { count: passOn('count') as MetricsLogger['count'], time: passOn('time'), gauge: passOn('gauge') }
}

/** A log that passes lines on and never throws. The first failure of `inner` is a warning of the process. */
export const guardedLog = (inner: Logger): Logger => guardOf(inner, guardLog)

function guardLog(inner: Logger): Logger {
  const passOn = (level: keyof Logger) => (fields: object, message: string) => {
    try {
      watch('the log', inner, inner[level](fields, message))
    } catch (error) {
      tell('the log', inner, error)
    }
  }
  return { debug: passOn('debug'), info: passOn('info'), warn: passOn('warn'), error: passOn('error') }
}

/**
 * Calls a function of the user. When it throws, or its promise rejects, for the first time, that is a warning of the
 * process.
 *
 * @param what names the function in the warning
 * @param own the function of the user, where `call` is another one that calls it
 * @returns the result of the function, or `otherwise` when it has thrown
 */
export function resultOfUser<Result>(what: string, call: () => Result, otherwise: Result, own: object = call): Result {
  try {
    const result = call()
    watch(what, own, result)
    return result
  } catch (error) {
    tell(what, own, error)
    return otherwise
  }
}
