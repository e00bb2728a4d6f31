import { getSystemErrorMap } from 'node:util'
import { CommandError } from './usage-error.js'

/** The reader of stdout has closed it, as with `| head`: not worth a message. */
const READER_LEFT = 'EPIPE'

/**
 * Waits until the stream has taken everything.
 *
 * @returns false when its reader has left
 * @throws CommandError when it cannot be written to, as with a full disk
 */
export async function flush(stdout: NodeJS.WriteStream): Promise<boolean> {
  const error = stdout.errored ?? (await new Promise<Error | null | undefined>(resolve => stdout.write('', resolve)))
  // A write after a failed one reports only that the stream is destroyed.
  const cause = (stdout.errored ?? error) as NodeJS.ErrnoException | null | undefined
  if (cause === null || cause === undefined) return true
  if (cause.code === READER_LEFT) return false
  const [, meaning] = getSystemErrorMap().get(cause.errno ?? 0) ?? []
  throw new CommandError(`cannot write to stdout: ${meaning ?? cause.message} (${cause.code})`)
}

/** Whether to write colours; see no-color.org. */
export const usesColors = (
  stream: NodeJS.WriteStream,
  environment: Readonly<Record<string, string | undefined>>
): boolean => stream.isTTY && (environment.NO_COLOR ?? '') === ''
