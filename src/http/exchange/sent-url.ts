import type { IncomingMessage } from 'node:http'

type Sent = IncomingMessage & { sentUrl?: string }

/**
 * The URL of a request as it was sent, below the prefix of its API on the API's own port, too. The field `url`
 * differs from it where the path cannot be decoded and had to be escaped for the router.
 */
export const sentUrlOf = (request: IncomingMessage): string => (request as Sent).sentUrl ?? request.url ?? '/'

/** For the listeners: says what {@link sentUrlOf} answers. */
export const keepSentUrl = (request: IncomingMessage, url: string): void => {
  ;(request as Sent).sentUrl = url
}
