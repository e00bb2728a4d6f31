import type { Assignment } from '../../core/settings/assignment.js'

/** Combines assignments into one object. The object has no prototype, so that `__proto__` is an ordinary key. */
export function assemble(assignments: readonly Assignment[]): unknown {
  const root = emptyMap()
  for (const { path, value } of assignments) {
    let place = root
    for (const part of path.slice(0, -1)) {
      const next = place[part]
      place = typeof next === 'object' && next !== null ? (next as Record<string, unknown>) : (place[part] = emptyMap())
    }
    place[path.at(-1)!] = value
  }
  return root
}

const emptyMap = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>

/** Freezes a value and, recursively, all values in it. */
export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}

/**
 * True for a name that every JavaScript object has, such as `constructor`. No setting and no cluster may have such a
 * name.
 */
const isInherited = (name: string): boolean => name in Object.prototype

export const usesInheritedName = ({ path }: Assignment): boolean => path.some(isInherited)

export const describeInheritedName = ({ path, origin, originAt }: Assignment): string =>
  `${path.join('.')}: no such setting, and ${path.find(isInherited)} cannot be a name (${originAt?.(path) ?? origin})`
