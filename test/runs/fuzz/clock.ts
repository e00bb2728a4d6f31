const real = performance.now.bind(performance)

/** Milliseconds, for the fuzzer itself. */
export const clock = (): number => real()

/**
 * For a process that does nothing but fuzz: the clock that the servers see stands still during each tick. They handle
 * as many deferred requests in a tick as fit into a time, and how many fit differs by chance on a busy machine.
 */
export function stopClockDuringTicks(): void {
  let tickAt: number | undefined
  performance.now = () => {
    if (tickAt === undefined) {
      tickAt = real()
      setImmediate(() => (tickAt = undefined))
    }
    return tickAt
  }
}
