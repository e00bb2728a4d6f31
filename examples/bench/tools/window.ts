/** One measured window: the counted items, its length, and the CPU time of this process. */
export interface Window {
  readonly counted: number
  readonly seconds: number
  readonly cpuMicros: number
}
export interface WindowLengths {
  readonly warmUpMs: number
  readonly measureMs: number
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/**
 * Waits for the end of the warm-up, then reads a counter at the beginning and at the end of the window. Other code
 * increases the counter.
 */
export async function measureWindow({ warmUpMs, measureMs }: WindowLengths, count: () => number): Promise<Window> {
  await sleep(warmUpMs)
  const [startedAtMs, before, cpu] = [performance.now(), count(), process.cpuUsage()]
  await sleep(measureMs)
  const { user, system } = process.cpuUsage(cpu)
  return { counted: count() - before, seconds: (performance.now() - startedAtMs) / 1000, cpuMicros: user + system }
}
