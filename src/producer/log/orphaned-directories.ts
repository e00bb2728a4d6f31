import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { holdsRecords } from './open-durable-log.js'

const WORKER = /^worker-[1-9]\d*$/

/** The directory of the log of one of several workers. @param number from 1 */
export const workerDirectory = (root: string, number: number): string => join(root, `worker-${number}`)

/** The directories of the logs of all workers; a worker that is the only one has the root itself. */
export const directoriesOf = (root: string, workers: number): string[] =>
  workers === 1 ? [root] : Array.from({ length: workers }, (_, index) => workerDirectory(root, index + 1))

/** Directories with a log that no worker has any more, since there were more of them, or fewer, before. */
export function leftDirectories(root: string, workers: number): string[] {
  const owned = directoriesOf(root, workers).map(directory => resolve(directory))
  return [root, ...workerNamesIn(root).map(name => join(root, name))].filter(
    directory => !owned.includes(resolve(directory)) && holdsRecords(directory)
  )
}

/** The names of directories of workers' logs, in the order of their numbers. */
export function workerNamesIn(root: string): string[] {
  try {
    const names = readdirSync(resolve(root)).filter(name => WORKER.test(name))
    return names.sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
  } catch {
    return []
  }
}
