/** A tool that is interrupted ends as other programs do; what it has started ends with it. */
export function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
}

/** Prints lines with the seconds since this was called before them. */
export function sayWithTime(): (line: string) => void {
  const startedAt = performance.now()
  return line => console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(7)} s  ${line}`)
}
