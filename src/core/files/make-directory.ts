import fs from 'node:fs'
import { dirname, resolve } from 'node:path'

/** The calls of the file system that {@link makeDirectory} makes. */
type Files = Pick<typeof fs, 'mkdirSync' | 'statSync'>

/** Only the user who runs the process has access. */
const MODE = 0o700

/**
 * Makes a directory and its missing parents, one by one. Node's recursive `mkdir` never ends where a file system answers
 * ENOENT below a directory that is there, as `/proc` does.
 *
 * @param path relative to the working directory, or absolute; may exist
 * @throws what Node says of the first directory that cannot be made
 */
export function makeDirectory(path: string, files: Files = fs): void {
  const whole = resolve(path)
  const missing = [whole]
  for (let at = dirname(whole); at !== dirname(at) && !isThere(at, files); at = dirname(at)) missing.unshift(at)
  for (const each of missing) makeOne(each, files)
}

const isThere = (path: string, files: Files): boolean => files.statSync(path, { throwIfNoEntry: false }) !== undefined

function makeOne(path: string, files: Files): void {
  try {
    files.mkdirSync(path, { mode: MODE })
  } catch (error) {
    // It was there, or another process has made it meanwhile.
    if (files.statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}
