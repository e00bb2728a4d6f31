import type { Socket } from 'node:net'
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerListener,
  status
} from '@grpc/grpc-js'
import type { Access, Caller } from '../../../access/access.js'
import { type StatusError, statusOfError } from './statuses.js'
import { type Admission, admit } from './visit.js'

export interface ArrivalLimits {
  /** Calls whose request has not arrived: each may hold a message. */
  readonly maxArriving: number
  /** How long a request may take to arrive. */
  readonly arrivalMs: number
  /** How long the client may take for the answer. */
  readonly answerMs: number
}

export interface ArrivalsOptions {
  readonly access: Access
  readonly limits: ArrivalLimits
  readonly socketOf: (peer: string) => Socket | undefined
  /** A bug; gives the status to answer. */
  readonly broken: (error: unknown) => StatusError
}

/**
 * Calls on their way in and out. Nothing of a request but its headers is read before its client is admitted; then it has
 * to arrive in time, and so has its answer at the client.
 *
 *   headers ── admitted ──▶ arriving ── whole request ──▶ served ── answer ──▶ taken by the client
 *      └───── refused           └─── too late                         └─── too late: the connection is cut
 */
export class Arrivals {
  readonly #options: ArrivalsOptions
  readonly #callers = new WeakMap<Metadata, Caller>()
  #arriving = 0
  #seen = 0

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  /** Calls whose request has not arrived. */
  get arriving(): number {
    return this.#arriving
  }

  /** Who has sent a request that has arrived. */
  callerOf(metadata: Metadata): Caller {
    return this.#callers.get(metadata)!
  }

  readonly interceptor: ServerInterceptor = (_, call) => {
    const arrival = new Arrival(this.#options, call, {
      enter: () => this.#enter(),
      leave: () => this.#arriving--,
      admitted: (metadata, caller) => this.#callers.set(metadata, caller),
      id: () => `grpc-${++this.#seen}`
    })
    return new ServerInterceptingCall(call, {
      start: next => next(arrival.listener),
      sendMessage: (message, next) => {
        arrival.answers()
        next(message)
      }
    })
  }

  /** False: too many arrive. */
  #enter(): boolean {
    if (this.#arriving >= this.#options.limits.maxArriving) return false
    this.#arriving++
    return true
  }
}

interface Hall {
  enter(): boolean
  leave(): void
  admitted(metadata: Metadata, caller: Caller): void
  id(): string
}

class Arrival {
  readonly #options: ArrivalsOptions
  readonly #call: ServerInterceptingCallInterface
  readonly #hall: Hall
  #admission: Admission | undefined
  #timer: NodeJS.Timeout | undefined
  #isArriving = false
  #isOver = false

  constructor(options: ArrivalsOptions, call: ServerInterceptingCallInterface, hall: Hall) {
    this.#options = options
    this.#call = call
    this.#hall = hall
  }

  readonly listener: ServerListener = {
    onReceiveMetadata: (metadata, next) => this.#begin(metadata, next),
    onReceiveMessage: (message, next) => next(message),
    onReceiveHalfClose: next => {
      this.#arrived()
      next()
    },
    onCancel: () => this.#end()
  }

  /** An answer is being sent. The stream ends when the client has taken it. */
  answers(): void {
    const { limits, socketOf } = this.#options
    if (this.#isOver) return
    this.#timer = setTimeout(() => socketOf(this.#call.getPeer())?.destroy(), limits.answerMs)
  }

  #begin(metadata: Metadata, next: (metadata: Metadata) => void): void {
    const { access, limits, socketOf, broken } = this.#options
    if (!this.#hall.enter()) {
      this.#refuse(status.RESOURCE_EXHAUSTED, 'too many calls arrive at a time')
      return
    }
    this.#isArriving = true
    this.#timer = setTimeout(() => {
      this.#refuse(status.DEADLINE_EXCEEDED, `the request did not arrive within ${limits.arrivalMs} ms`)
    }, limits.arrivalMs)
    const peer = this.#call.getPeer()
    admit(access, { metadata, peer, socket: socketOf(peer) }, this.#hall.id()).then(
      admission => {
        if (this.#isOver) admission.end()
        else {
          this.#admission = admission
          this.#hall.admitted(metadata, admission.caller)
          next(metadata)
        }
      },
      error => {
        const { code, message } = statusOfError(error, true) ?? broken(error)
        this.#refuse(code, message)
      }
    )
  }

  #refuse(code: status, details: string): void {
    if (!this.#isOver) this.#call.sendStatus({ code, details })
  }

  #arrived(): void {
    clearTimeout(this.#timer)
    if (this.#isArriving) this.#hall.leave()
    this.#isArriving = false
  }

  /** The stream has ended, or its last frame has been sent. */
  #end(): void {
    this.#isOver = true
    if (this.#isArriving) refuseRest(this.#call)
    this.#arrived()
    this.#admission?.end()
    this.#admission = undefined
  }
}

/**
 * Closes the stream of a call that was answered before its request had come: grpc-js would read and discard whatever the
 * client goes on to send. It has no method for that, so its stream is used. Node sends the answer at the end of this turn;
 * from Node 22 on a reset in the same turn would overtake it.
 */
function refuseRest(call: ServerInterceptingCallInterface): void {
  const { stream } = call as unknown as { stream?: { readonly destroyed: boolean; close(): void } }
  setImmediate(() => {
    if (stream?.destroyed === false) stream.close()
  })
}
