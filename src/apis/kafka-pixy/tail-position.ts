import type { Offset } from '../../core/model.js'

const PLACES = /^\d{1,10}:\d{1,16}(,\d{1,10}:\d{1,16})*$/

/**
 * Where a tail goes on, as the id of an event says it: next offset by partition.
 *
 *   0:17,1:4
 */
export const idOf = (positions: ReadonlyMap<number, Offset>): string => {
  let id = ''
  for (const [partition, offset] of positions) id += id === '' ? `${partition}:${offset}` : `,${partition}:${offset}`
  return id
}

/** @returns `undefined`: it is not an id of ours */
export function positionsOf(id: string): ReadonlyMap<number, Offset> | undefined {
  if (!PLACES.test(id)) return undefined
  const places = id.split(',').map(place => place.split(':').map(Number) as [number, Offset])
  return places.flat().every(Number.isSafeInteger) ? new Map(places) : undefined
}
