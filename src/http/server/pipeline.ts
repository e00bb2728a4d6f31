import type { OpenRequest } from './open-request.js'

/** No further request of a connection begins while this many bytes of its answers wait. */
export const MAX_UNREAD_BYTES = 64 * 1024

/** A request without its whole answer, as far as its answer is looked at. */
type AnsweredRequest = Pick<OpenRequest, 'isAnswerBegun' | 'isAnswered' | 'keptAnswerBytes'>

/** Whether an answer has begun and may go on for as long as it likes. */
export const isStreaming = ({ isAnswerBegun, isAnswered }: AnsweredRequest): boolean => isAnswerBegun && !isAnswered

/**
 * Whether a request behind these must not begin yet: it is behind a stream, or many bytes of answers wait for the client or for
 * earlier answers.
 *
 * @param unsentBytes bytes that wait for the client
 */
export function mustWaitBehind(requests: readonly AnsweredRequest[], unsentBytes: number): boolean {
  let bytes = unsentBytes
  for (const request of requests) {
    // The sum over many pipelined requests is made no further than needed.
    if (bytes >= MAX_UNREAD_BYTES || isStreaming(request)) return true
    bytes += request.keptAnswerBytes
  }
  return bytes >= MAX_UNREAD_BYTES
}
