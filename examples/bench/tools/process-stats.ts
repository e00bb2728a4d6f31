import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The resources that a process has used so far. */
export interface ProcessStats {
  /** User and system time of all threads, in microseconds. */
  readonly cpuMicros: number
  readonly rssBytes: number
}

// USER_HZ and the page size have these values in Linux on every platform that Node supports. The kernel converts the
// times in /proc to this tick.
const TICK_MICROS = 10_000
const PAGE_BYTES = 4096

/**
 * Reads the CPU time and the resident memory of another process. It reads /proc and includes child processes. Where
 * there is no /proc, it calls `ps`, which leaves out child processes.
 */
export function readProcessStats(pid: number): ProcessStats {
  if (process.platform !== 'linux') return fromPs(pid)
  const all = [pid, ...childrenOf(pid)].map(fromProc)
  return {
    cpuMicros: all.reduce((sum, { cpuMicros }) => sum + cpuMicros, 0),
    rssBytes: all.reduce((sum, { rssBytes }) => sum + rssBytes, 0)
  }
}

/** The ids of the child processes. Empty when the kernel does not have this file. */
function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
    return children.flatMap(child => [child, ...childrenOf(child)])
  } catch {
    return []
  }
}

function fromProc(pid: number): ProcessStats {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The command name may contain spaces and brackets, so fields are counted from its closing bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  return { cpuMicros: ticks * TICK_MICROS, rssBytes: Number(fields[21]) * PAGE_BYTES }
}

function fromPs(pid: number): ProcessStats {
  const [time, rssKiB] = execFileSync('ps', ['-o', 'time=,rss=', '-p', String(pid)], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
  return { cpuMicros: parsePsTime(time!), rssBytes: Number(rssKiB) * 1024 }
}

/** `1:02.50` => 62,500,000; `2-03:04:05` (days-hours:minutes:seconds) likewise. */
export function parsePsTime(text: string): number {
  const [clock, days] = text.split('-').reverse() as [string, string | undefined]
  const seconds = clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
  return Math.round((Number(days ?? 0) * 86_400 + seconds) * 1e6)
}
