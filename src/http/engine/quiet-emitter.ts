import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'

export type ResponseState = Pick<
  ServerResponse,
  | 'statusCode'
  | 'shouldKeepAlive'
  | 'headersSent'
  | 'destroyed'
  | 'closed'
  | 'finished'
  | 'writable'
  | 'writableEnded'
  | 'socket'
>

class Uninitialized {}
Object.setPrototypeOf(Uninitialized.prototype, EventEmitter.prototype)
const withoutListeners: new () => object = Uninitialized
/** An `EventEmitter` without the object for listeners, which most responses never have. It is made for the first one. */
export const QuietEmitter = withoutListeners as new () => EventEmitter

/** Fastify and routes that produce use no other members of Node's answers than ours have. */
export const asServerResponse = (response: ResponseState): ServerResponse => response as ServerResponse
