/** Compressed bytes would take more memory than is allowed. They are whole as far as they were read. */
export class DecompressionLimitError extends Error {
  override readonly name = 'DecompressionLimitError'
  readonly maxBytes: number

  constructor(maxBytes: number, bytes?: number) {
    super(`${bytes ?? 'the decompressed'} bytes are more than ${maxBytes}`)
    this.maxBytes = maxBytes
  }
}

/** Calls what zlib does with `maxOutputLength`; names the limit where it was reached. */
export function withinLimit(maxBytes: number, decompress: () => Buffer): Buffer {
  try {
    return decompress()
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
      ? new DecompressionLimitError(maxBytes)
      : error
  }
}
