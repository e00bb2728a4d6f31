import { readFileSync } from 'node:fs'

/** The most memory that a process has had resident so far. */
export const peakRssBytes = (pid: number): number => kibOf(pid, 'VmHWM') * 1024

const kibOf = (pid: number, field: string): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
}
