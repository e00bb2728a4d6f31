import type { Readable } from 'node:stream'
import type { OverloadedError } from '../../core/errors.js'

/** The reader of a body. No call follows `end`, `failed` or `closed`. */
export interface BodyReader {
  /** @param lasts false: the bytes are valid during the call only. Default: true */
  chunk(chunk: Buffer, lasts?: boolean): void
  end(): void
  failed(error: Error): void
  /** The client has left, or has its answer. */
  closed(): void
}

export interface BodySource extends Readable, Partial<OpenEnded> {
  /** How long it has waited to be decoded, in milliseconds. Absent: not at all. */
  readonly waitedMs?: number | undefined
  /** The body, where it has come as a whole and was not read as a stream. */
  readonly whole?: Buffer | undefined
  /**
   * Hands on the body from its beginning, without the events of a stream, which cost more than all other reading.
   *
   * @returns false, and nothing happened: some of it has come already, so the events of the stream are needed
   */
  readInto?(reader: BodyReader): boolean
}

/** A body that may stay open as long as its reader likes, such as a stream of records. */
export interface OpenEnded {
  /** Ends the server's limits of pace and duration for this body: from now on its reader has limits of its own. */
  openEnd(): void
  /**
   * Counts this many bytes of the body as held, in place of all that have come.
   *
   * @returns the refusal when the limits do not allow them
   */
  holdOnly(sizeBytes: number): OverloadedError | undefined
}
