import { getSystemErrorMap } from 'node:util'
import { CommandError } from './usage-error.js'

/** The error code after the reader of stdout has closed it, as `| head` does. This needs no message. */
const READER_LEFT = 'EPIPE'

/**
 * Waits until the stream has taken everything.
 *
 * @returns false when the reader has closed the stream
 * @throws CommandError when the stream cannot be written to, for example because the disk is full
 */
export async function flush(stdout: NodeJS.WriteStream): Promise<boolean> {
  const error = stdout.errored ?? (await new Promise<Error | null | undefined>(resolve => stdout.write('', resolve)))
  // `errored` has the original error: a write after a failed write reports only that the stream is destroyed.
  const cause = (stdout.errored ?? error) as NodeJS.ErrnoException | null | undefined
  if (cause === null || cause === undefined) return true
  if (cause.code === READER_LEFT) return false
  const [, meaning] = getSystemErrorMap().get(cause.errno ?? 0) ?? []
  throw new CommandError(`cannot write to stdout: ${meaning ?? cause.message} (${cause.code})`)
}

/** Whether to write colors; see https://no-color.org. */
export const usesColors = (
  stream: NodeJS.WriteStream,
  environment: Readonly<Record<string, string | undefined>>
): boolean => stream.isTTY && (environment.NO_COLOR ?? '') === ''
