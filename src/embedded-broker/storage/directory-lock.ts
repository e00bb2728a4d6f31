import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { ConfigError } from '../../core/errors.js'
import { FILE_MODE } from './file-system.js'

/** Directories that this process has locked: in a container, a crashed process may have had the same pid. */
const ours = new Set<string>()

/**
 * Keeps a second process out of the directory. A lock whose process is gone was left by a crash and is taken over.
 *
 * @returns unlocks
 * @throws ConfigError when a live process holds it
 */
export function lockDirectory(directory: string): () => void {
  const path = resolve(directory, 'lock')
  if (!tryCreate(path)) {
    const holder = Number(readFileSync(path, 'utf8'))
    if (holder === process.pid ? ours.has(path) : isAlive(holder))
      throw new ConfigError(`${directory} is in use by process ${holder}; give the embedded broker another directory`)
    rmSync(path, { force: true })
    if (!tryCreate(path)) throw new ConfigError(`${directory} was locked by another process just now`)
  }
  ours.add(path)
  return () => {
    ours.delete(path)
    rmSync(path, { force: true })
  }
}

function tryCreate(path: string): boolean {
  try {
    const descriptor = openSync(path, 'wx', FILE_MODE)
    writeSync(descriptor, String(process.pid))
    closeSync(descriptor)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
