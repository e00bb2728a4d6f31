import type { Leaf, Section } from '../../core/settings/leaves.js'
import { type Assignment, didYouMean } from '../../core/settings/problems.js'
import { isWithin } from '../../core/settings/setting-names.js'

/**
 * Rarely needed settings are in the section `advanced`: `advanced.router.callTimeoutMs`. The code that uses a setting
 * does not see this section: it finds the setting in the section of its own folder. This file translates the paths in
 * both directions.
 */
const ADVANCED = 'advanced'

export interface AdvancedSettings {
  readonly sections: readonly Section[]
  readonly leaves: readonly Leaf[]
}

/** The sections and settings as an operator names them. Settings of `advanced` come last. */
export function setAdvancedApart({ sections, leaves }: AdvancedSettings): AdvancedSettings {
  const named = leaves.map(leaf => (leaf.isAdvanced ? { ...leaf, path: [ADVANCED, ...leaf.path] } : leaf))
  const isUsed = ({ path }: Section): boolean => named.some(leaf => isWithin(path, leaf.path))
  const ofAdvanced = sections.map(section => ({ ...section, path: [ADVANCED, ...section.path] }))
  return {
    sections: [...sections, ...ofAdvanced].filter(isUsed),
    leaves: [...named.filter(({ isAdvanced }) => !isAdvanced), ...named.filter(({ isAdvanced }) => isAdvanced)]
  }
}

export const named = <Item extends { readonly path: readonly PropertyKey[] }>(
  items: readonly Item[] = [],
  leaves: readonly Leaf[]
): Item[] =>
  items.map(item => {
    const given = item.path.map(String)
    const path = namedPath(given, leaves)
    return path === given ? item : { ...item, path }
  })

/** `router.callTimeoutMs` => `advanced.router.callTimeoutMs`. Other paths are returned as they are. */
export const namedPath = (path: readonly string[], leaves: readonly Leaf[]): readonly string[] =>
  leaves.some(leaf => leaf.isAdvanced && isWithin(leaf.path.slice(1), path)) ? [ADVANCED, ...path] : path

/** The assignments with the paths that the schema has instead of the paths that an operator writes. */
export const placed = (assignments: readonly Assignment[], leaves: readonly Leaf[]): Assignment[] =>
  assignments
    .filter(assignment => !isEmptySection(assignment, leaves))
    .map(assignment =>
      assignment.path[0] === ADVANCED ? { ...assignment, path: assignment.path.slice(1) } : assignment
    )

/**
 * Whether an assignment is an empty section, such as `advanced: {router: {}}`, which is allowed. `{}` is an error as
 * the value of a setting and in an unknown section.
 */
const isEmptySection = ({ path, value }: Assignment, leaves: readonly Leaf[]): boolean =>
  leaves.some(leaf => leaf.isAdvanced && leaf.path.length > path.length && isWithin(path, leaf.path)) &&
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.keys(value).length === 0

/**
 * The problem with the place of a setting: an advanced setting is outside of `advanced`, or another setting is in it.
 */
export function misplaced(assignment: Assignment, leaves: readonly Leaf[]): string | undefined {
  const { path, origin, originAt } = assignment
  const isNamed = leaves.some(leaf => leaf.isAdvanced && isWithin(leaf.path, path))
  const isElsewhere = namedPath(path, leaves) !== path
  if (isNamed || (path[0] !== ADVANCED && !isElsewhere) || isEmptySection(assignment, leaves)) return undefined
  const isSection = leaves.some(leaf => isWithin(path, leaf.path))
  const problem = isSection ? 'expected settings' : `no such setting${didYouMean(path, leaves)}`
  return `${path.join('.')}: ${problem} (${originAt?.(path) ?? origin})`
}

/** A copy of a configuration with the advanced settings in the section `advanced`, as in a file. */
export function withAdvancedApart(config: object, leaves: readonly Leaf[]): object {
  const rest = structuredClone(config)
  const apart: Record<string, unknown> = {}
  for (const { path, isAdvanced } of leaves) {
    if (!isAdvanced) continue
    const inner = path.slice(1, -1)
    const section = inner.reduce<Record<string, unknown> | undefined>(into, rest as Record<string, unknown>)
    const value = section?.[path.at(-1)!]
    if (value === undefined) continue
    inner.reduce<Record<string, unknown>>((place, part) => (place[part] ??= {}) as typeof place, apart)[path.at(-1)!] =
      value
    delete section![path.at(-1)!]
  }
  return Object.keys(apart).length === 0 ? rest : { ...rest, [ADVANCED]: apart }
}

const into = (section: Record<string, unknown> | undefined, part: string): Record<string, unknown> | undefined =>
  section?.[part] as Record<string, unknown> | undefined
