import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { Metadata } from '@grpc/grpc-js'
import type { CastellanError } from '../../../core/errors.js'
import type { Access, Caller, IncomingRequest } from '../../../http/access/access.js'

/** The part of a call that arrives before its message. */
export interface CallHead {
  readonly metadata: Metadata
  /** Address and port. */
  readonly peer: string
  /** The key under which quotas count the address. */
  readonly address: string
  readonly socket: Socket
}

/** An admitted call. */
export interface Admission {
  readonly caller: Caller
  /** Ends the call: it is not in flight any more. */
  end(): void
}

/** A call that has to be admitted, in the form of a request over HTTP. */
class IncomingCall implements IncomingRequest {
  /** The key under which the access check remembers the caller. */
  readonly request: IncomingRequest['request']
  readonly requestId: string
  readonly authorization: string | undefined
  readonly address: string
  readonly peer: string
  readonly socket: Socket
  readonly isUnixSocket = false
  readonly #ends: (() => void)[] = []

  constructor({ metadata, peer, address, socket }: CallHead, requestId: string) {
    const [authorization] = metadata.get('authorization')
    this.requestId = requestId
    this.authorization = authorization === undefined ? undefined : String(authorization)
    this.peer = peer
    this.socket = socket
    this.address = address
    const headers: IncomingHttpHeaders = {}
    this.request = { headers } as IncomingRequest['request']
  }

  onEnd(ended: () => void): void {
    this.#ends.push(ended)
  }

  end(): void {
    for (const ended of this.#ends.splice(0)) ended()
  }
}

/** Admits calls by the same checks as requests over HTTP: quotas, authentication, rules. */
export async function admit(access: Access, head: CallHead, requestId: string): Promise<Admission> {
  const incoming = new IncomingCall(head, requestId)
  const refusal = await new Promise<CastellanError | undefined>(resolve => {
    if (access.enter) access.enter(incoming, resolve)
    else resolve(undefined)
  })
  if (refusal !== undefined) throw refusal
  return { caller: access.callerOf(incoming.request), end: () => incoming.end() }
}
