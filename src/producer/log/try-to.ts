/** Returns whether `what` was done without an error. */
export function tryTo(what: () => unknown): boolean {
  try {
    what()
    return true
  } catch {
    return false
  }
}
