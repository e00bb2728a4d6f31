import type { MonotonicClock } from './model.js'

/** A walk through many items gives way to other work after this time. */
export const PORTION_MS = 4
/** The clock is read once per so many small items. */
const ITEMS_PER_LOOK = 32

/** Uses each item, in portions of a few milliseconds with a tick of the event loop between them. */
export async function inPortions<Item>(
  items: Iterable<Item>,
  clock: MonotonicClock,
  use: (item: Item) => void,
  itemsPerLook = ITEMS_PER_LOOK
): Promise<void> {
  let until = clock() + PORTION_MS
  let untilLook = itemsPerLook
  for (const item of items) {
    use(item)
    if (--untilLook > 0) continue
    untilLook = itemsPerLook
    if (clock() < until) continue
    await nextTick()
    until = clock() + PORTION_MS
  }
}

/** Resolves in the next tick of the event loop. */
export const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
