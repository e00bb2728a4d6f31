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
/** An `EventEmitter` without the object for listeners, which most responses never have. It is made for the first one. */
export const QuietEmitter = Uninitialized as new () => Partial<EventEmitter> as new () => EventEmitter
