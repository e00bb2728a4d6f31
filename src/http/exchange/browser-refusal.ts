import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { ForbiddenError } from '../../core/errors.js'

/** A request that came to a listener; others have no guard. */
interface Guarded extends IncomingMessage {
  readonly guard?: { refusalOfEffect(headers: IncomingHttpHeaders): ForbiddenError | undefined }
}

/**
 * Why a GET that does more than read is refused: a browser may have sent it on behalf of a web page. To be asked by every
 * route that takes, acknowledges or writes messages by GET. Pages that give themselves away have been refused before.
 */
export const browserRefusalOf = (request: IncomingMessage): ForbiddenError | undefined =>
  (request as Guarded).guard?.refusalOfEffect(request.headers)
