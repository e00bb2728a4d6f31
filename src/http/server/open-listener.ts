import type { RequestListener } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { ListenAddress } from '../../core/listen-error.js'
import { keepSentUrl } from '../exchange/sent-url.js'
import type { SilenceLimit } from '../exchange/silence.js'
import { BrowserGuard } from './browser-guard.js'
import type { Certificates } from './certificates.js'
import { Listener } from './listener.js'
import { routableUrl } from './routable-url.js'
import type { HttpContext } from './server.js'

/** @returns the URL of the listener */
export type Open = (
  handler: RequestListener,
  address: ListenAddress,
  certificates?: Certificates,
  silence?: SilenceLimit
) => Promise<string>

/** @param opened where every listener is added that listens */
export const openerOf =
  ({ connections, settings, foreignHosts }: HttpContext, opened: Listener[]): Open =>
  async (handler, address, certificates, silence) => {
    const boundHost = 'host' in address ? address.host : undefined
    const guard = new BrowserGuard(boundHost, settings, host => foreignHosts.refused(host))
    const listener = new Listener(settings, handler, { connections, guard, silence }, certificates)
    const url = await listener.listen(address)
    opened.push(listener)
    return url
  }

export const handlerOf =
  (app: FastifyInstance): RequestListener =>
  (request, response) => {
    const url = request.url!
    const routable = routableUrl(url)
    if (routable !== url) keepSentUrl(request, url)
    request.url = routable
    app.routing(request, response)
  }
