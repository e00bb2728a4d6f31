/**
 * The next index after `current` that is ready. It goes round once and ends at `current` itself, so that none starves.
 * `undefined` when none is ready.
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
