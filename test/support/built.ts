import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

export const PROJECT = join(import.meta.dirname, '../..')

/** Whether `dist` holds what the sources say now: it starts in a third of the time that they take. */
export const isBuilt =
  newestSourceMs() < (statSync(join(PROJECT, 'dist/main.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0)

function newestSourceMs(): number {
  const sources = readdirSync(join(PROJECT, 'src'), { withFileTypes: true, recursive: true }).filter(entry =>
    entry.isFile()
  )
  return Math.max(...sources.map(({ parentPath, name }) => statSync(join(parentPath, name)).mtimeMs))
}

/** The thread of the durable log, run from its source where that is newer than what is built. */
export const logWorker = isBuilt ? undefined : new URL('./log-worker.mjs', import.meta.url)
