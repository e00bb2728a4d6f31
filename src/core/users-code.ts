import { defaultLogger, type MetricsLogger } from './metrics/metrics-logger.js'
import { type Logger, silentLogger } from './model.js'

/** A logger of the user => its guard, which several parts share. A logger that needs no guard is its own. */
const guards = new WeakMap<object, object>([
  [defaultLogger, defaultLogger],
  [silentLogger, silentLogger]
])

function guardOf<Logger extends object>(inner: Logger, create: () => Logger): Logger {
  const known = guards.get(inner) as Logger | undefined
  if (known !== undefined) return known
  const guard = create()
  guards.set(inner, guard)
  guards.set(guard, guard)
  return guard
}

/** Tells of the first failure of something of the user, by a warning of the process. */
class FirstFailure {
  readonly #what: string
  #isTold = false

  constructor(what: string) {
    this.#what = what
  }

  readonly tell = (error: unknown): void => {
    if (this.#isTold) return
    this.#isTold = true
    warnOf(this.#what, error)
  }

  /** Looks at what a method has returned: an `async` method fails by its promise. */
  watch(returned: unknown): void {
    if (returned instanceof Promise) returned.catch(this.tell)
  }
}

function warnOf(what: string, error: unknown): void {
  const message = `${what} threw: ${error instanceof Error ? error.message : String(error)}`
  const detail = error instanceof Error && error.stack !== undefined ? { detail: error.stack } : {}
  process.emitWarning(message, { type: 'CastellanWarning', code: 'CASTELLAN_USERS_CODE', ...detail })
}

/**
 * A metrics logger that passes measurements on and never throws. The first failure of `inner` is a warning of the
 * process. A logger without `gauge` is not called for gauges.
 */
export const guardedMetrics = (inner: MetricsLogger): MetricsLogger => guardOf(inner, () => guardMetrics(inner))

function guardMetrics(inner: MetricsLogger): MetricsLogger {
  const failure = new FirstFailure('the metrics logger')
  return {
    count(component, metricName, tags, value) {
      try {
        failure.watch(inner.count(component, metricName, tags, value))
      } catch (error) {
        failure.tell(error)
      }
    },
    time(component, metricName, tags, nanoSeconds) {
      try {
        failure.watch(inner.time(component, metricName, tags, nanoSeconds))
      } catch (error) {
        failure.tell(error)
      }
    },
    gauge(component, metricName, tags, value) {
      try {
        failure.watch(inner.gauge?.(component, metricName, tags, value))
      } catch (error) {
        failure.tell(error)
      }
    }
  }
}

/** A log that passes lines on and never throws. The first failure of `inner` is a warning of the process. */
export const guardedLog = (inner: Logger): Logger => guardOf(inner, () => guardLog(inner))

function guardLog(inner: Logger): Logger {
  const failure = new FirstFailure('the log')
  const passOn = (level: keyof Logger) => (fields: object, message: string) => {
    try {
      failure.watch(inner[level](fields, message))
    } catch (error) {
      failure.tell(error)
    }
  }
  return { debug: passOn('debug'), info: passOn('info'), warn: passOn('warn'), error: passOn('error') }
}

/** The functions whose failure was told. */
const told = new WeakSet<object>()

/**
 * Calls a function of the user. When it throws for the first time, that is a warning of the process.
 *
 * @param what names the function in the warning
 * @returns the result of the function, or `otherwise` when it has thrown
 */
export function resultOfUser<Result>(what: string, call: () => Result, otherwise: Result): Result {
  try {
    return call()
  } catch (error) {
    if (!told.has(call)) warnOf(what, error)
    told.add(call)
    return otherwise
  }
}
