/** The result of `work`, or of `late` when it takes longer than so many milliseconds. The work goes on then. */
export async function inTime<Value, Late>(
  work: Promise<Value>,
  timeoutMs: number,
  late: () => Late
): Promise<Value | Late> {
  let timer: NodeJS.Timeout | undefined
  const isLate = new Promise<Late>(resolve => (timer = setTimeout(() => resolve(late()), timeoutMs)))
  try {
    return await Promise.race([work, isLate])
  } finally {
    clearTimeout(timer)
  }
}
