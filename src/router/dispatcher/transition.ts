import type { Step } from '../../core/actor/actor.js'
import { nextInTurn } from './round-robin.js'

/**
 * A connection to a broker: one call in flight, its processors in turn.
 *
 *   free ──queued──▶ busy ──settled──▶ busy (the next processor in turn) or free
 *                         ──settled, throttled──▶ resting ──rested──▶ busy or free
 */
export type ConnectionState =
  /** `last`: the processor whose turn it was. */
  | { readonly mode: 'free'; readonly last: number }
  | { readonly mode: 'busy'; readonly processor: number }
  /** The broker has asked for a pause (throttling). */
  | { readonly mode: 'resting'; readonly last: number }

/** `ready`: per processor, whether it has something to send. */
export type ConnectionEvent =
  | { readonly type: 'queued'; readonly ready: readonly boolean[] }
  /** The call in flight was answered, failed, or turned out to be unnecessary. */
  | { readonly type: 'settled'; readonly ready: readonly boolean[]; readonly throttleMs: number }
  | { readonly type: 'rested'; readonly ready: readonly boolean[] }

export type ConnectionEffect =
  | { readonly type: 'issue'; readonly processor: number }
  | { readonly type: 'rest'; readonly forMs: number }

export const initialConnectionState = (processors: number): ConnectionState => ({ mode: 'free', last: processors - 1 })

/** Decides what a connection does next. */
export function connectionTransition(
  state: ConnectionState,
  event: ConnectionEvent
): Step<ConnectionState, ConnectionEffect> {
  switch (state.mode) {
    case 'free':
      return event.type === 'queued' ? next(state.last, event.ready) : [state, []]
    case 'busy':
      if (event.type !== 'settled') return [state, []]
      if (event.throttleMs <= 0) return next(state.processor, event.ready)
      return [{ mode: 'resting', last: state.processor }, [{ type: 'rest', forMs: event.throttleMs }]]
    case 'resting':
      return event.type === 'rested' ? next(state.last, event.ready) : [state, []]
  }
}

function next(last: number, ready: readonly boolean[]): Step<ConnectionState, ConnectionEffect> {
  const processor = nextInTurn(ready, last)
  if (processor === undefined) return [{ mode: 'free', last }, []]
  return [{ mode: 'busy', processor }, [{ type: 'issue', processor }]]
}
