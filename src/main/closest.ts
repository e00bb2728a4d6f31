import { editDistance } from '../config/edit-distance.js'

/** `; did you mean --port?` when one of the names is close to what was written, else nothing. */
export function closest(written: string, names: readonly string[], prefix = ''): string {
  const ranked = names
    .map(name => ({ name, distance: editDistance(name, written) }))
    .sort((a, b) => a.distance - b.distance)
  const [best] = ranked
  return best && best.distance <= 2 ? `; did you mean ${prefix}${best.name}?` : ''
}
