import { describeFault } from './faults/schedule.js'
import type { SimulationResult } from './simulation.js'

const MOST_VIOLATIONS = 12

/** One line about a run. */
export function summary({ options, hash, turns, simulatedMs, cpuMs, violations }: SimulationResult): string {
  const speed = (simulatedMs / cpuMs).toFixed(0)
  const verdict = violations.length === 0 ? 'fine' : `${violations.length} VIOLATIONS`
  return `seed ${options.seed} ${options.scenario}: ${verdict}, ${turns} turns, ${speed} x real time, trace ${hash}`
}

type Details = Pick<SimulationResult, 'counts' | 'schedule' | 'faults' | 'faultsMet' | 'violations'>

/** Everything about a run but its trace. */
export function details({ counts, schedule, faults, faultsMet, violations }: Details): string {
  const effectOf = (id: number): string => (faultsMet.has(id) ? '' : ' (nobody met it)')
  const lines = [
    ...Object.entries(counts).map(([name, of]) => `  ${name}: ${countsText(of)}`),
    ...schedule.map(
      fault => `  ${describeFault(fault)}: ${faults.get(fault.id) ?? 'did not begin'}${effectOf(fault.id)}`
    ),
    ...violations.slice(0, MOST_VIOLATIONS).map(({ rule, what }) => `  ${rule.toUpperCase()}: ${what}`)
  ]
  if (violations.length > MOST_VIOLATIONS) lines.push(`  and ${violations.length - MOST_VIOLATIONS} more`)
  return lines.join('\n')
}

const countsText = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')

/** How often faults of each kind began and were met, and how often workloads did what they count. */
export class Tally {
  readonly #faults = new Map<string, { begun: number; met: number }>()
  readonly #counts = new Map<string, { worlds: number; sum: number }>()

  add({ options, schedule, faults, faultsMet, counts }: SimulationResult): void {
    for (const { id, kind } of schedule) {
      const of = this.#faults.get(kind) ?? { begun: 0, met: 0 }
      if (faults.has(id)) of.begun++
      if (faultsMet.has(id)) of.met++
      this.#faults.set(kind, of)
    }
    for (const [workload, values] of Object.entries(counts)) {
      for (const [what, count] of Object.entries(values)) {
        const key = `${options.scenario} ${workload} ${what}`
        const of = this.#counts.get(key) ?? { worlds: 0, sum: 0 }
        if (count > 0) of.worlds++
        of.sum += count
        this.#counts.set(key, of)
      }
    }
  }

  get text(): string {
    const sorted = <Value>(map: ReadonlyMap<string, Value>): [string, Value][] =>
      [...map].sort(([one], [other]) => (one < other ? -1 : 1))
    return [
      ...sorted(this.#faults).map(([kind, { begun, met }]) => `  ${kind}: ${begun} begun, ${met} met`),
      ...sorted(this.#counts).map(([what, { worlds, sum }]) => `  ${what}: ${sum} in ${worlds} worlds`)
    ].join('\n')
  }
}

/** The command that does the same again and writes its trace. */
export function replayCommand({ options }: SimulationResult): string {
  const { seed, seconds, scenario, only } = options
  const some = only === undefined ? '' : ` --only ${[...only].join(',') || 'none'}`
  return `npm run simulate -- --seed ${seed} --seconds ${seconds} --scenario ${scenario}${some} --trace trace.txt`
}
