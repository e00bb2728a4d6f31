import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** The shell's convention for a process ended by a signal. */
const SIGNAL_EXIT_BASE = 128

/** Fires at the first SIGINT or SIGTERM. The second ends the process at once, whatever it is still doing. */
export function stopSignal(process: NodeJS.Process): AbortSignal {
  const controller = new AbortController()
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(SIGNAL_EXIT_BASE + constants.signals[signal])
      controller.abort()
    })
  }
  return controller.signal
}
