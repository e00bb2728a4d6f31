import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

/**
 * The text of a small file. It waits for nothing: to read from a pipe would stop the process until another one has written to it.
 *
 * @throws Error whose `code` says why: one of Node, that it is not a regular file, or that it is too large
 */
export function readRegularFile(path: string, maxBytes: number): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!fstatSync(file).isFile()) throw refused('it is not a regular file')
    const bytes = Buffer.alloc(maxBytes + 1)
    const length = readSync(file, bytes)
    if (length > maxBytes) throw refused(`it has more than ${maxBytes} bytes`)
    return bytes.toString('utf8', 0, length)
  } finally {
    closeSync(file)
  }
}

const refused = (code: string): Error => Object.assign(new Error(code), { code })
