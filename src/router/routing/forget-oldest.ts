/** A map passes over all entries that were removed before its oldest one, so several are forgotten at once. */
const SHARE_AT_ONCE = 1 / 16

/** Keeps a map at `maxSize` entries, whatever is added: beyond it the sixteenth part that was added first is forgotten. */
export function forgetOldest(entries: Map<string, unknown>, maxSize: number): void {
  if (entries.size <= maxSize) return
  const keptSize = maxSize - Math.floor(maxSize * SHARE_AT_ONCE)
  for (const oldest of entries.keys()) {
    if (entries.size <= keptSize) return
    entries.delete(oldest)
  }
}
