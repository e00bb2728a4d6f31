import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** The shell's convention for a process ended by a signal. */
const SIGNAL_EXIT_BASE = 128

/**
 * A terminal sends SIGINT to npm and to this process, and npm passes its own on: signals within this time count as
 * one.
 */
const SAME_SIGNAL_MS = 250

/** Fires at the first SIGINT or SIGTERM. The second ends the process at once, whatever it is still doing. */
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
