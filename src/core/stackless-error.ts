/**
 * An error that bytes of a client may cause a hundred thousand times a second, such as a record that cannot be read. No
 * stack is captured, because that takes much longer than reading a record.
 */
export class StacklessError extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
  }
}
