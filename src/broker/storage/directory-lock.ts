import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../../errors.js'

/**
 * Keeps a second process out of the directory. A lock whose process is gone was left by a crash and is taken over.
 *
 * @returns unlocks
 * @throws ConfigError when a live process holds it
 */
export function lockDirectory(directory: string): () => void {
  const path = join(directory, 'lock')
  if (!tryCreate(path)) {
    const holder = Number(readFileSync(path, 'utf8'))
    if (isAlive(holder))
      throw new ConfigError(`${directory} is in use by process ${holder}; give the embedded broker another directory`)
    rmSync(path, { force: true })
    if (!tryCreate(path)) throw new ConfigError(`${directory} was locked by another process just now`)
  }
  return () => rmSync(path, { force: true })
}

function tryCreate(path: string): boolean {
  try {
    const descriptor = openSync(path, 'wx')
    writeSync(descriptor, String(process.pid))
    closeSync(descriptor)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** A lock of our own pid is another cluster in this process. */
function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
