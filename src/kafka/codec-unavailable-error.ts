/** The package that a compression needs has no binary for this platform, or is not installed. Nothing is wrong with the bytes. */
export class CodecUnavailableError extends Error {
  override readonly name = 'CodecUnavailableError'

  constructor(codec: string, packageName: string, cause: unknown) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0]
    super(`${codec} is not available here: the package ${packageName} cannot be loaded (${reason})`, { cause })
  }
}
