/** The code that Node gives an error: `ENOENT`. Anything can be thrown, also what cannot be read. */
export function codeOf(error: unknown): string | undefined {
  try {
    return (error as NodeJS.ErrnoException | null | undefined)?.code
  } catch {
    return undefined
  }
}

/** The message of what was caught. Anything can be thrown: `undefined`, a text, an object without a text, or what cannot be read. */
export function messageOf(thrown: unknown): string {
  try {
    const message: unknown = (thrown as Partial<Error> | null | undefined)?.message
    if (typeof message === 'string' && message !== '') return message
    const text = String(thrown)
    if (!text.startsWith('[object ')) return text
  } catch {
    // Neither its message nor its text can be read.
  }
  return `something without a text (${typeof thrown})`
}

/** What was caught, as an error that can be read. */
export function asError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error && typeof thrown.message === 'string') return thrown
  } catch {
    // Its message cannot be read.
  }
  return new Error(messageOf(thrown), { cause: thrown })
}

/** @returns whether `what` ran without an exception */
export function tryTo(what: () => unknown): boolean {
  try {
    what()
    return true
  } catch {
    return false
  }
}
