import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** The exit code of a process that a signal ends is this number plus the number of the signal, as in shells. */
const SIGNAL_EXIT_BASE = 128

/**
 * Signals within this time count as one. A terminal sends SIGINT to npm and to this process, and npm passes the signal
 * on, so this process gets it twice.
 */
const SAME_SIGNAL_MS = 250

/** Fires at the first SIGINT or SIGTERM. The second signal ends the process at once. */
export function stopSignal(process: NodeJS.Process): AbortSignal {
  const controller = new AbortController()
  let stoppedAt = Number.POSITIVE_INFINITY
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (performance.now() - stoppedAt >= SAME_SIGNAL_MS) process.exit(SIGNAL_EXIT_BASE + constants.signals[signal])
      stoppedAt = Math.min(stoppedAt, performance.now())
      controller.abort()
    })
  }
  return controller.signal
}
