/** A Buffer of the same memory: a Buffer from another thread, or of a program, may be a plain Uint8Array. */
export const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * A view of memory, as `subarray` makes it. A loop that asks bytes for their memory once, and not for each view, takes a quarter
 * of the time.
 */
export const View = Buffer[Symbol.species as never] as new (
  memory: ArrayBufferLike,
  at: number,
  length: number
) => Buffer
