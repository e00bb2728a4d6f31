import { type SimulationOptions, type SimulationResult, simulate } from './simulation.js'

/** A run takes half a second; nobody waits for ever. */
const MOST_TRIES = 120

/**
 * Leaves faults out as long as the same rule is still broken: first large parts of the schedule, then smaller ones, then
 * one by one (delta debugging, Zeller and Hildebrandt 2002). Then the run ends soon after the last fault that is left.
 *
 * @returns the smallest run that was found; the same one when nothing can be left out
 */
export async function shrink(result: SimulationResult): Promise<SimulationResult> {
  const rule = result.violations[0]!.rule
  let tries = 0
  let smallest = result
  const attempt = async (changes: Partial<SimulationOptions>): Promise<boolean> => {
    if (++tries > MOST_TRIES) return false
    const candidate = await simulate({ ...smallest.options, ...changes })
    if (!candidate.violations.some(violation => violation.rule === rule)) return false
    smallest = candidate
    return true
  }
  for (let parts = 2; ; ) {
    const ids = smallest.schedule.map(({ id }) => id)
    const without = partsOf(ids, parts).map(part => ids.filter(id => !part.includes(id)))
    let isSmaller = false
    for (const only of without) {
      if (await attempt({ only: new Set(only) })) {
        isSmaller = true
        break
      }
    }
    if (isSmaller) parts = Math.max(2, parts - 1)
    else if (parts < ids.length) parts = Math.min(ids.length, parts * 2)
    else break
  }
  const lastFaultMs = Math.max(0, ...smallest.schedule.map(({ atMs, durationMs }) => atMs + durationMs))
  for (const seconds of [lastFaultMs / 1_000 + 1, lastFaultMs / 1_000 + 5].map(Math.ceil)) {
    if (seconds < smallest.options.seconds && (await attempt({ seconds }))) break
  }
  return smallest
}

function partsOf(ids: readonly number[], count: number): number[][] {
  const size = Math.ceil(ids.length / count)
  return Array.from({ length: Math.ceil(ids.length / size) }, (_, part) => ids.slice(part * size, (part + 1) * size))
}
