import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { WorkersSettings } from './process-settings.js'

/** Reads a file of the operating system; `undefined`: it cannot be read. */
export type ReadFile = (path: string) => string | undefined

const readFile: ReadFile = path => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

/** Number of processes that serve; 1: only the process that was started. */
export const workerCountOf = ({ count: wanted }: WorkersSettings): number =>
  wanted === 'auto' ? usableCores() : wanted

const CGROUPS = '/sys/fs/cgroup'

/**
 * The cores that this process can keep busy: those that it may run on, and no more than the CPU limit of its container
 * pays for. Node counts the first only, so in a container with half a core on a machine of 64 it says 64.
 */
export function usableCores(available = availableParallelism(), read = readFile): number {
  return Math.max(1, Math.min(available, Math.floor(limitedCores(read))))
}

/** The lowest CPU limit of the control groups of this process, in cores. Linux only. */
function limitedCores(read: ReadFile): number {
  const limits = (read('/proc/self/cgroup') ?? '').split('\n').flatMap(line => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === '') return withParents(path!).map(group => unifiedLimit(read(`${CGROUPS}${group}/cpu.max`)))
    if (controllers === undefined || !controllers.split(',').includes('cpu')) return []
    return withParents(path!).map(group => {
      const directory = `${CGROUPS}/cpu${group}`
      return limitOf(read(`${directory}/cpu.cfs_quota_us`), read(`${directory}/cpu.cfs_period_us`))
    })
  })
  return Math.min(Number.POSITIVE_INFINITY, ...limits)
}

/** `/a/b` => `/a/b`, `/a` and the root, which in a container is the group of the container. */
function withParents(path: string): string[] {
  const names = path.split('/').filter(Boolean)
  return [...names.map((_, at) => `/${names.slice(0, at + 1).join('/')}`), '']
}

/** `150000 100000` => 1.5; `max 100000`: no limit. */
function unifiedLimit(text: string | undefined): number {
  const [quota, period] = (text ?? '').trim().split(' ')
  return limitOf(quota, period)
}

function limitOf(quota: string | undefined, period: string | undefined): number {
  const limit = Number(quota) / Number(period)
  return limit > 0 ? limit : Number.POSITIVE_INFINITY
}
