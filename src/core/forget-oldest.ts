/**
 * The share of the entries that a full map loses at a time. The search for the oldest entry of a map takes a step for each
 * entry that was removed before it, so it is done rarely.
 */
const SHARE_AT_ONCE = 1 / 16

/** Limits a map to `maxSize` entries. When it has more, the sixteenth part that was added first is removed. */
export function forgetOldest(entries: Map<string, unknown>, maxSize: number): void {
  if (entries.size <= maxSize) return
  const keptSize = maxSize - Math.floor(maxSize * SHARE_AT_ONCE)
  for (const oldest of entries.keys()) {
    if (entries.size <= keptSize) return
    entries.delete(oldest)
  }
}
