import { groupBy } from '../../core/maps.js'
import type { Trouble } from './status.js'

/** Rows of one kind, of which so many have a card each. */
const MAX_ALONE = 3

/** Cards in the order of their first rows: many rows of one kind and severity share one, so that no other is far below. */
export const cardsOf = (trouble: readonly Trouble[]): readonly (readonly Trouble[])[] =>
  [...groupBy(trouble, ({ severity, kind }) => `${severity} ${kind}`).values()].flatMap(rows =>
    rows.length > MAX_ALONE ? [rows] : rows.map(row => [row])
  )
