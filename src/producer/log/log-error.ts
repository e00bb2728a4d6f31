import { CastellanError } from '../../core/errors.js'

/** Why the log took nothing. */
export type RefusalKind =
  /** The disk, or the share of it that the log may use, is full. It resumes by itself. */
  | 'full'
  /** The disk failed. A new segment is tried from time to time. */
  | 'failed'
  | 'closed'
  /** The entry is larger than a segment: it will never fit. */
  | 'tooLarge'

/** The log took nothing of what was appended. */
export interface Refusal {
  readonly kind: RefusalKind
  readonly message: string
  /** False when the entries may come back after a power cut, because the failed write could not be taken back for sure. */
  readonly isCertain: boolean
}

/** Nothing was taken, for certain. */
export const refuse = (kind: RefusalKind, message: string): Refusal => ({ kind, message, isCertain: true })

/** The directory cannot be used as a durable log; the message says why and what to do. */
export class LogUnusableError extends CastellanError {
  override readonly name = 'LogUnusableError'
  constructor(message: string, cause?: unknown) {
    super('invalidConfig', message, false, cause)
  }
}

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code

const FULL_CODES: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** No space, as the disk, a quota or a limit on file sizes reports it. */
export const isFullDisk = (error: unknown): boolean => FULL_CODES.has(codeOf(error))
