import type { Logger } from '../../core/model.js'

const LOOK_EVERY_MS = 250

/** How long brokers may take to answer at start before a warning is logged. */
const PATIENCE_MS = 2_000

export interface Watched {
  readonly name: string
  readonly brokers: readonly string[]
  isReady(): boolean
  /** Why no broker answers, if known. */
  awayBecause(): Error | undefined
  /** Called whenever the cluster answers again. */
  onAppear(): void
}

/** Logs once that a cluster does not answer, and once that it answers again; the metrics have everything in between. */
export function watchKafka({ name, brokers, isReady, awayBecause, onAppear }: Watched, log: Logger): { stop(): void } {
  const fields = { cluster: name, brokers }
  let isPresent = false
  let isAwayTold = false
  const startedAt = performance.now()
  const look = (): void => {
    const isReadyNow = isReady()
    if (isReadyNow && !isPresent) {
      // The Router logs the first answer of a broker itself.
      if (isAwayTold) log.info(fields, `kafka answers (cluster ${name})`)
      isAwayTold = false
      onAppear()
    } else if (!isReadyNow && !isAwayTold && (isPresent || performance.now() - startedAt >= PATIENCE_MS)) {
      isAwayTold = true
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
