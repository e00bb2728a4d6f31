import type { Trouble } from './status.js'

/** Rows of one kind, of which so many have a card each. */
const MAX_ALONE = 3

/** Rows of one kind and severity, the worst first; mostly there is one. */
export type Card = readonly [first: Trouble, ...more: readonly Trouble[]]

/** Cards in the order of their first rows: many rows of one kind and severity share one, so that no other is far below. */
export function cardsOf(trouble: readonly Trouble[]): readonly Card[] {
  const byKind = new Map<string, Trouble[]>()
  for (const row of trouble) {
    const key = `${row.severity} ${row.kind}`
    const rows = byKind.get(key)
    if (rows === undefined) byKind.set(key, [row])
    else rows.push(row)
  }
  return [...byKind.values()].flatMap(rows =>
    rows.length > MAX_ALONE ? [rows as unknown as Card] : rows.map((row): Card => [row])
  )
}
