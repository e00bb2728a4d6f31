import { MAX_TIMER_MS } from './model.js'

/** The result of `work`, or of `late` when it takes longer than so many milliseconds, at most 24.8 days. The work goes on then. */
export async function inTime<Value, Late>(
  work: Promise<Value>,
  timeoutMs: number,
  late: () => Late | Promise<Late>
): Promise<Value | Late> {
  let timer: NodeJS.Timeout | undefined
  const isLate = new Promise<Late>(resolve => {
    timer = setTimeout(() => resolve(late()), Math.min(timeoutMs, MAX_TIMER_MS))
  })
  try {
    return await Promise.race([work, isLate])
  } finally {
    clearTimeout(timer)
  }
}
