import { CastellanError } from '../../core/errors.js'
import { isStuck, type ReadRequest, type ReadResult } from './requested-entries.js'

/** Reads one piece of the log. */
export type ReadLog = (request: ReadRequest) => Promise<ReadResult>

/** Pause after a read that failed. */
export const RETRY_MS = 1_000
/** A disk that cannot be read for longer has more than a short trouble. */
const MAX_RETRIES = 30

/** Reads on while the disk gives nothing: an entry that is missing in the result has been completed, or given up. */
export async function readPatiently(log: { readonly read: ReadLog }, request: ReadRequest): Promise<ReadResult> {
  for (;;) {
    const result = await log.read(request)
    if (!isStuck(result, request.fromSequence)) return result
    await pause()
  }
}

/** Asks again while the disk cannot be read, half a minute long. @throws what the last question threw */
export async function askPatiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let retries = 0; ; retries++) {
    try {
      return await ask()
    } catch (error) {
      if (retries === MAX_RETRIES || !(error instanceof CastellanError && error.code === 'logUnavailable')) throw error
      await pause()
    }
  }
}

const pause = (): Promise<void> => new Promise(resolve => setTimeout(resolve, RETRY_MS))
