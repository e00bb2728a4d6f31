import { ProtocolError, ResponseTooLargeError } from '../../core/errors.js'

/**
 * Counts what the lists of an answer hold together, before they are read: an entry of a few bytes becomes an object of many,
 * so that a large answer of small entries would take all memory.
 */
type Count = (count: number) => void

/** Throws ResponseTooLargeError when there are more. */
export const atMost = (limit: number, what: string): Count =>
  counting(limit, () => new ResponseTooLargeError(`more than ${limit} ${what}`))

/** Throws ProtocolError when there are more. */
export const noMoreThanAsked = (asked: number, what: string): Count =>
  counting(asked, () => new ProtocolError(`more than the ${asked} ${what} that were asked for`))

function counting(limit: number, problem: () => Error): Count {
  let total = 0
  return count => {
    total += Math.max(0, count)
    if (total > limit) throw problem()
  }
}
