import type { preParsingHookHandler } from 'fastify'
import { neverCalled } from '../../../src/http/api/by-hand.js'
import { Idempotency } from '../../../src/http/api/idempotency.js'
import { localKeys } from '../../support/local-keys.js'
import { type Started, type StartSettings, startHttp } from '../server/stage.js'

export type IdempotencyOptions = ConstructorParameters<typeof Idempotency>[0]
type Guarded = Parameters<Idempotency['guard']>

/** What takes requests by hand below `/loud`, as `POST /push`. */
export type Routes = Readonly<Record<`${'GET' | 'POST'} /${string}`, preParsingHookHandler>>

/** All listeners, with routes by hand. */
export function startRoutes(routes: Routes, settings: StartSettings = {}): Promise<Started> {
  return startHttp({
    ...settings,
    plugin: async app => {
      for (const [name, preParsing] of Object.entries(routes)) {
        const [method, url] = name.split(' ') as ['GET' | 'POST', string]
        app.route({ method, url, preParsing, handler: neverCalled })
      }
    }
  })
}

/** A route `push` whose requests may have a key, over keys of this process unless others are given. */
export function guarded(
  receive: Guarded[0],
  options: Partial<IdempotencyOptions> = {},
  waitMs?: number
): ReturnType<Idempotency['guard']> {
  const idempotency = new Idempotency({ keys: localKeys(), count: () => undefined, ...options })
  return idempotency.guard(receive, { name: 'push', maxBodyBytes: 1_000, waitMs })
}

/** The head of a request below `/loud`. A field that is `undefined` is left out. */
export function requestHead(
  method: 'GET' | 'POST',
  path: string,
  headers: Readonly<Record<string, string | number | undefined>> = {}
): string {
  const all = Object.entries({ host: 'localhost', ...headers })
  const lines = all.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]))
  return `${method} /loud${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}
