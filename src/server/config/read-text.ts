import { closeSync, openSync, readSync } from 'node:fs'
import { ConfigError } from '../../core/errors.js'

/** Maximum size of a file of settings. Real files are much smaller, and the parsers are slow for larger ones. */
const MAX_BYTES = 4 * 1024 * 1024
const READ_BYTES = 64 * 1024

/**
 * Reads the text of a file of settings. The file may be a pipe.
 *
 * @param hint added to the error message; says what the file must be
 * @throws ConfigError when the file cannot be read or is too large
 */
export function readText(fileName: string, hint = ''): string {
  try {
    return readUpTo(fileName, MAX_BYTES).toString('utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`cannot read ${fileName} (${(error as NodeJS.ErrnoException).code})${hint}`)
  }
}

function readUpTo(fileName: string, maxBytes: number): Buffer {
  const descriptor = openSync(fileName, 'r')
  try {
    const pieces: Buffer[] = []
    for (let sizeBytes = 0; ; ) {
      const piece = Buffer.allocUnsafe(READ_BYTES)
      const count = readSync(descriptor, piece)
      if (count === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, count))
      sizeBytes += count
      if (sizeBytes > maxBytes) throw new ConfigError(`${fileName} has more than ${maxBytes} bytes: settings never do`)
    }
  } finally {
    closeSync(descriptor)
  }
}
