import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { codeOf } from '../../core/node-errors.js'

/** File name of the secret in the directory of the durable log. */
const SECRET_NAME = 'RECEIPT-KEY'
const SECRET_BYTES = 32
const SECRET_TEXT = /^[0-9a-f]{64}\n$/

/** The secret that authenticates receipts, read from the directory; if none can be read, a new one. */
export function receiptSecretIn(directory: string): Buffer {
  try {
    const text = readFileSync(join(resolve(directory), SECRET_NAME), 'latin1')
    if (SECRET_TEXT.test(text)) return Buffer.from(text.trim(), 'hex')
  } catch {
    // There is none yet: it is written together with the first record.
  }
  return randomBytes(SECRET_BYTES)
}

/**
 * Keeps the secret in an existing directory, unless it has one, so that receipts survive a restart. Only its owner can
 * read the file, which appears with all of its bytes.
 *
 * @throws when it cannot be written
 */
export function keepReceiptSecret(directory: string, secret: Buffer): void {
  const path = join(resolve(directory), SECRET_NAME)
  const draft = `${path}.${process.pid}`
  const descriptor = openSync(draft, 'w', 0o600)
  try {
    writeSync(descriptor, `${secret.toString('hex')}\n`)
    fsyncSync(descriptor)
    linkSync(draft, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  } finally {
    closeSync(descriptor)
    rmSync(draft, { force: true })
  }
}
