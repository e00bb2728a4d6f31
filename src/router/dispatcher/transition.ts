import type { Step } from '../../core/actor/actor.js'

/**
 * The next index after `current` that is ready. The search wraps around and ends at `current`, so that no index
 * starves. `undefined` when no index is ready.
 *
 *   ready = [true, true, false], current = 1   =>   tries 2, 0, 1: gives 0
 *
 * Source: Box-Castle/router 1.0.3, KafkaDispatcher.scala.
 */
export function nextInTurn(ready: readonly boolean[], current: number): number | undefined {
  for (let step = 1; step <= ready.length; step++) {
    const index = (current + step) % ready.length
    if (ready[index]) return index
  }
  return undefined
}

/**
 * A connection to a broker: it has one call in flight, and its processors take turns.
 *
 *   free ──queued──▶ busy ──settled──▶ busy (the next processor in turn) or free
 *                         ──settled, throttled──▶ throttled ──resumed──▶ busy or free
 */
export type ConnectionState =
  /** `last`: the processor whose turn it was. */
  | { readonly mode: 'free'; readonly last: number }
  | { readonly mode: 'busy'; readonly processor: number }
  /** The broker has asked for a pause (throttling). */
  | { readonly mode: 'throttled'; readonly last: number }

/** `ready`: for each processor, whether it has something to send. */
export type ConnectionEvent =
  | { readonly type: 'queued'; readonly ready: readonly boolean[] }
  /** The call in flight was answered, failed, or turned out to be unnecessary. */
  | { readonly type: 'settled'; readonly ready: readonly boolean[]; readonly throttleMs: number }
  | { readonly type: 'resumed'; readonly ready: readonly boolean[] }

export type ConnectionEffect =
  | { readonly type: 'issue'; readonly processor: number }
  | { readonly type: 'pause'; readonly forMs: number }

export const initialConnectionState = (processors: number): ConnectionState => ({ mode: 'free', last: processors - 1 })

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
      return [{ mode: 'throttled', last: state.processor }, [{ type: 'pause', forMs: event.throttleMs }]]
    case 'throttled':
      return event.type === 'resumed' ? next(state.last, event.ready) : [state, []]
  }
}

function next(last: number, ready: readonly boolean[]): Step<ConnectionState, ConnectionEffect> {
  const processor = nextInTurn(ready, last)
  if (processor === undefined) return [{ mode: 'free', last }, []]
  return [{ mode: 'busy', processor }, [{ type: 'issue', processor }]]
}
