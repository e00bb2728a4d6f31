import { describeFault } from './faults/schedule.js'
import type { SimulationResult } from './simulation.js'

const MOST_VIOLATIONS = 12

/** One line about a run. */
export function summary({ options, hash, turns, simulatedMs, cpuMs, violations }: SimulationResult): string {
  const speed = (simulatedMs / cpuMs).toFixed(0)
  const verdict = violations.length === 0 ? 'fine' : `${violations.length} VIOLATIONS`
  return `seed ${options.seed} ${options.scenario}: ${verdict}, ${turns} turns, ${speed} x real time, trace ${hash}`
}

type Details = Pick<SimulationResult, 'counts' | 'schedule' | 'faults' | 'violations'>

/** Everything about a run but its trace. */
export function details({ counts, schedule, faults, violations }: Details): string {
  const lines = [
    ...Object.entries(counts).map(([name, of]) => `  ${name}: ${countsText(of)}`),
    ...schedule.map(fault => `  ${describeFault(fault)}: ${faults.get(fault.id) ?? 'did not begin'}`),
    ...violations.slice(0, MOST_VIOLATIONS).map(({ rule, what }) => `  ${rule.toUpperCase()}: ${what}`)
  ]
  if (violations.length > MOST_VIOLATIONS) lines.push(`  and ${violations.length - MOST_VIOLATIONS} more`)
  return lines.join('\n')
}

const countsText = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')

/** The command that does the same again and writes its trace. */
export function replayCommand({ options }: SimulationResult): string {
  const { seed, seconds, scenario, only } = options
  const some = only === undefined ? '' : ` --only ${[...only].join(',') || 'none'}`
  return `npm run simulate -- --seed ${seed} --seconds ${seconds} --scenario ${scenario}${some} --trace trace.txt`
}
