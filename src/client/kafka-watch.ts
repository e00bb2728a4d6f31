import { errorCodeOf } from '../core/error-code-of.js'
import { CastellanError, type ErrorCode, UnavailableError } from '../core/errors.js'
import type { Logger } from '../core/model.js'

const LOOK_EVERY_MS = 250

/** Time from the start until a warning is logged that no broker answers. */
const PATIENCE_MS = 2_000

export interface Watched {
  readonly name: string
  readonly brokers: readonly string[]
  isReady(): boolean
  /** Why no broker answers, if known. */
  awayBecause(): Error | undefined
  /** Called whenever the cluster begins to answer. */
  onAppear(): void
}

/** Logs one line when a cluster stops answering, and one line when it answers again. */
export function watchKafka({ name, brokers, isReady, awayBecause, onAppear }: Watched, log: Logger): { stop(): void } {
  const fields = { cluster: name, brokers }
  let isPresent = false
  let isAwayLogged = false
  const startedAt = performance.now()
  const look = (): void => {
    const isReadyNow = isReady()
    if (isReadyNow && !isPresent) {
      // The Router logs the first answer of a broker itself.
      if (isAwayLogged) log.info(fields, `kafka answers (cluster ${name})`)
      isAwayLogged = false
      onAppear()
    } else if (!isReadyNow && !isAwayLogged && (isPresent || performance.now() - startedAt >= PATIENCE_MS)) {
      isAwayLogged = true
      const error = awayBecause()
      const why = error === undefined ? '' : ` (${error.message})`
      log.warn(fields, `no broker of cluster ${name} answers${why}; trying again until one does`)
    }
    isPresent = isReadyNow
  }
  const timer = setInterval(look, LOOK_EVERY_MS)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}

const byCode: Partial<Record<ErrorCode, string>> = {
  timedOut: 'no answer in time',
  protocol: 'the peer does not speak the Kafka protocol',
  kafka: 'the broker is too old or refuses the call'
}

/**
 * Why a broker cannot be reached. The text contains no addresses and names, because anyone can read the health
 * endpoint. The log has the details.
 */
export function briefOf(error: Error): string {
  if (error instanceof UnavailableError && error.brief !== undefined) return error.brief
  return (error instanceof CastellanError ? byCode[errorCodeOf(error)] : undefined) ?? 'see the log'
}
