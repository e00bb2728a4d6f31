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
    // Reading the message, or turning the value into a text, has thrown.
  }
  return `something without a text (${typeof thrown})`
}

/** Makes an error whose message can be read of anything that was thrown. */
export function asError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error && typeof thrown.message === 'string') return thrown
  } catch {
    // Reading the message has thrown.
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
