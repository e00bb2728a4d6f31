/**
 * The share of the entries that a full map loses at a time. The search for the oldest entry of a map takes a step for each
 * entry that was removed before it, so it is done rarely.
 */
const SHARE_AT_ONCE = 1 / 16

/** Adds an item to the list of its key. */
export function addTo<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [item])
  else list.push(item)
}

/** The items of each key together, keys in the order of their first mention. Node has `Map.groupBy` from version 21 on. */
export function groupBy<Key, Item>(items: Iterable<Item>, keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const lists = new Map<Key, Item[]>()
  for (const item of items) addTo(lists, keyOf(item), item)
  return lists
}

/** The value of a key. A missing value is made and added. */
export function getOrAdd<Key, Value>(map: Map<Key, Value>, key: Key, make: () => NoInfer<Value>): Value {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

/** Takes an item out of those of its key, and the key with the last of them. @returns whether it was there */
export function deleteFrom<Key, Item>(
  map: Map<Key, { delete(item: Item): boolean; readonly size: number }>,
  key: Key,
  item: Item
): boolean {
  const items = map.get(key)
  if (items?.delete(item) !== true) return false
  if (items.size === 0) map.delete(key)
  return true
}

/** Limits a map to `maxSize` entries. When it has more, the sixteenth part that was added first is removed. */
export function forgetOldest(entries: Map<unknown, unknown>, maxSize: number): void {
  if (entries.size <= maxSize) return
  const keptSize = maxSize - Math.floor(maxSize * SHARE_AT_ONCE)
  for (const oldest of entries.keys()) {
    if (entries.size <= keptSize) return
    entries.delete(oldest)
  }
}

/** Sets an entry as the newest one, and limits the map as {@link forgetOldest} does. */
export function setNewest<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, maxSize: number): void {
  map.delete(key)
  map.set(key, value)
  forgetOldest(map, maxSize)
}
