import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { ForbiddenError } from '../../core/errors.js'
import { isLoopback } from '../../core/settings/units.js'
import { ANONYMOUS } from '../access/access.js'

/** A request that came to a listener; others have no guard. */
interface Guarded extends IncomingMessage {
  readonly guard?: { refusalOfEffect(headers: IncomingHttpHeaders): ForbiddenError | undefined }
}

/**
 * Why a GET that does more than read is refused: a browser may have sent it on behalf of a web page. To be asked by
 * every route that takes, acknowledges or writes messages by GET. Requests that name a foreign page have been refused
 * before.
 */
export const browserRefusalOf = (request: Guarded): ForbiddenError | undefined =>
  request.guard?.refusalOfEffect(request.headers)

/** A request that came to a listener, which has a key for its address: an IPv6 /64 is one. */
interface Addressed extends IncomingMessage {
  readonly holder?: { readonly address: { readonly key: string } }
}

/** The address of a client as limits count it; `undefined`: it has none. */
export const addressOf = (request: Addressed): string | undefined => request.holder?.address.key

interface WithPrincipal {
  readonly principal: string
}

/**
 * The client to which a limited thing, such as a group or a tail, is counted: the principal, or the address of an
 * anonymous client.
 *
 * @returns `undefined`: it has no address, since it came by a unix socket
 */
export const clientOf = (request: IncomingMessage, caller: WithPrincipal): string | undefined =>
  clientAt(addressOf(request), caller)

/** @param address as quotas count it */
export const clientAt = (address: string | undefined, { principal }: WithPrincipal): string | undefined => {
  if (principal !== ANONYMOUS) return `principal ${principal}`
  return address ? `address ${address}` : undefined
}

const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via']

/**
 * Whether a client is on this machine. A proxy on this machine mostly shows by its headers, by the name it was asked for, or by
 * HTTP/1.0, nginx's default. One that hides all this cannot be told from a client.
 */
export function isOfThisMachine({ httpVersionMinor, headers, socket }: IncomingMessage): boolean {
  if (httpVersionMinor === 0 || PROXY_HEADERS.some(name => headers[name] !== undefined)) return false
  const address = socket.remoteAddress?.replace(/^::ffff:/, '')
  const name = headers.host?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return address !== undefined && isLoopback(address) && name !== undefined && isLoopback(name)
}
