import { readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

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

/** What a process that loads modules of the sources has to be started with. */
export const LOADER: readonly string[] = ['--import', createRequire(import.meta.url).resolve('tsx')]

/** Where such a process finds a module, as `wal/directory-lock`. */
export const moduleUrl = (name: string): string => pathToFileURL(join(PROJECT, `src/${name}.ts`)).href

/** The thread of the schemas, run from its source where that is newer than what is built. */
export const codecWorker = isBuilt ? undefined : new URL('./codec-worker.mjs', import.meta.url)

/** The thread of the durable log, run from its source where that is newer than what is built. */
export const logWorker = isBuilt ? undefined : new URL('./log-worker.mjs', import.meta.url)
