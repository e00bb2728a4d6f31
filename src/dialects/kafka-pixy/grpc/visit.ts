import type { IncomingHttpHeaders } from 'node:http'
import { Socket } from 'node:net'
import type { ServerUnaryCall } from '@grpc/grpc-js'
import type { Access, Caller } from '../../../access/access.js'
import type { Visit } from '../../../access/identity.js'
import type { CastellanError } from '../../../errors.js'

type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getPeer'>

/** Of no connection: those of gRPC show no certificates. */
const NO_SOCKET = new Socket()

/** A call that asks to be admitted, as a request over HTTP is. */
class CallVisit implements Visit {
  /** The key under which the door remembers the caller. */
  readonly request: Visit['request']
  readonly requestId: string
  readonly authorization: string | undefined
  readonly address: string
  readonly peer: string
  readonly socket = NO_SOCKET
  readonly isUnixSocket = false
  readonly #ends: (() => void)[] = []

  constructor(call: AnyCall, requestId: string) {
    const [authorization] = call.metadata.get('authorization')
    this.requestId = requestId
    this.authorization = authorization === undefined ? undefined : String(authorization)
    this.peer = call.getPeer()
    this.address = hostOf(this.peer)
    const headers: IncomingHttpHeaders = {}
    this.request = { headers } as Visit['request']
  }

  onEnd(ended: () => void): void {
    this.#ends.push(ended)
  }

  end(): void {
    for (const ended of this.#ends.splice(0)) ended()
  }
}

/** Lets calls in by the same door as requests over HTTP: quotas, authentication, rules. */
export async function admit(
  access: Access,
  call: AnyCall,
  requestId: string
): Promise<{ readonly caller: Caller; end(): void }> {
  const visit = new CallVisit(call, requestId)
  const refusal = await new Promise<CastellanError | undefined>(resolve => {
    if (access.enter) access.enter(visit, resolve)
    else resolve(undefined)
  })
  if (refusal !== undefined) throw refusal
  return { caller: access.callerOf(visit.request), end: () => visit.end() }
}

/** `127.0.0.1:4711` => `127.0.0.1`; `[::1]:4711` => `::1` */
const hostOf = (peer: string): string => peer.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
