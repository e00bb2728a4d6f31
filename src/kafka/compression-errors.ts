import { codeOf, messageOf } from '../core/node-errors.js'

/** The decompressed bytes take more memory than allowed. The compressed bytes may be intact. */
export class DecompressionLimitError extends Error {
  override readonly name = 'DecompressionLimitError'
  readonly maxBytes: number

  constructor(maxBytes: number, bytes?: number) {
    super(`${bytes ?? 'the decompressed'} bytes are more than ${maxBytes}`)
    this.maxBytes = maxBytes
  }
}

/** Calls a function of zlib that has a `maxOutputLength`. Its error at this limit becomes a DecompressionLimitError. */
export function withinLimit(maxBytes: number, decompress: () => Buffer): Buffer {
  try {
    return decompress()
  } catch (error) {
    throw codeOf(error) === 'ERR_BUFFER_TOO_LARGE' ? new DecompressionLimitError(maxBytes) : error
  }
}

/** The package of a codec is not installed, or has no binary for this platform. The bytes are not the cause. */
export class CodecUnavailableError extends Error {
  override readonly name = 'CodecUnavailableError'

  constructor(codec: string, packageName: string, cause: unknown) {
    const reason = messageOf(cause).split('\n')[0]
    super(`${codec} is not available here: the package ${packageName} cannot be loaded (${reason})`, { cause })
  }
}
