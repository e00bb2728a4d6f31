import { distance } from 'fastest-levenshtein'
import type { z } from 'zod'
import type { Leaf } from './leaves.js'
import { whatBecameOf } from './setting-names.js'

type Issue = z.core.$ZodIssue

/** A value for a setting, and its origin, which messages name. */
export interface Assignment {
  readonly path: readonly string[]
  readonly value: unknown
  readonly origin: string
  /** Returns the exact place of a value at or below `path`. Absent: `origin` is the best known place. */
  readonly originAt?: (path: readonly string[]) => string
}

/**
 * Turns the issues that the schema found into lines for the operator:
 *
 *   http.port: expected integer, got "eighty" (CASTELLAN_HTTP_PORT)
 *   http.prot: no such setting; did you mean port? (castellan.yaml)
 */
export function toProblems(
  issues: readonly Issue[],
  assignments: readonly Assignment[],
  leaves: readonly Leaf[]
): string[] {
  return issues.flatMap(issue => describe(issue, assignments, leaves))
}

function describe(issue: Issue, assignments: readonly Assignment[], leaves: readonly Leaf[]): string[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => {
      const full = [...path, key]
      return `${full.join('.')}: no such setting${didYouMean(full, leaves)}${origin(full, assignments)}`
    })
  }
  return [
    `${path.join('.') || 'the configuration'}: ${reason(issue, path, assignments, leaves)}${origin(path, assignments)}`
  ]
}

function reason(
  issue: Issue,
  path: readonly string[],
  assignments: readonly Assignment[],
  leaves: readonly Leaf[]
): string {
  const leaf = leafAt(path, leaves)
  const given = leaf && !leaf.isSecret ? got(path, assignments) : ''
  if (issue.code === 'invalid_type' || issue.code === 'invalid_union' || issue.code === 'invalid_value') {
    return `expected ${typeOf(leaf, issue)}${given}`
  }
  if (issue.code === 'too_small') return `must be at least ${issue.minimum}${unitOf(issue, issue.minimum)}${given}`
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}${unitOf(issue, issue.maximum)}${given}`
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => message).join('; ')
  return `${issue.message}${given}`
}

/** Finds the description of a setting, of an entry of a list, or of a member of an entry. */
function leafAt(path: readonly string[], leaves: readonly Leaf[]): Leaf | undefined {
  const leaf = leaves.find(({ path: candidate }) => matches(candidate, path))
  const partOf = (whole: Leaf | undefined, part: string): Leaf | undefined =>
    whole?.members ? whole.members.find(({ path: member }) => member.at(-1) === part) : whole?.item
  return path.slice(leaf?.path.length).reduce(partOf, leaf)
}

function typeOf(leaf: Leaf | undefined, issue: Issue): string {
  if (leaf !== undefined && leaf.type !== 'any') return leaf.type
  return 'expected' in issue ? issue.expected : 'something else'
}

function unitOf({ origin }: { readonly origin: string }, amount: number | bigint): string {
  if (origin === 'array') return Number(amount) === 1 ? ' entry' : ' entries'
  if (origin !== 'string') return ''
  return Number(amount) === 1 ? ' character' : ' characters'
}

const matches = (pattern: readonly string[], path: readonly string[]): boolean =>
  pattern.length <= path.length && pattern.every((part, index) => part === '*' || part === path[index])

/** The last assignment at, above or below a path. This assignment determines the value. */
function find(path: readonly string[], assignments: readonly Assignment[]): Assignment | undefined {
  const common = (candidate: readonly string[]): boolean =>
    candidate.slice(0, path.length).every((part, index) => part === path[index])
  return assignments.findLast(({ path: candidate }) => common(candidate))
}

function origin(path: readonly string[], assignments: readonly Assignment[]): string {
  const found = find(path, assignments)
  return found ? ` (${found.originAt?.(path) ?? found.origin})` : ''
}

function got(path: readonly string[], assignments: readonly Assignment[]): string {
  const found = find(path, assignments)
  if (!found || found.path.length > path.length) return ''
  const parts = path.slice(found.path.length)
  const around = parts.slice(0, -1).reduce(memberOf, found.value)
  const value = parts.reduce(memberOf, found.value)
  if (value === undefined && parts.length > 0) return ''
  // A value with an @ may contain a user name and a password, which a comma may have divided. It is not shown.
  if (JSON.stringify(Array.isArray(around) ? around : value)?.includes('@')) return ''
  const text = JSON.stringify(value) ?? String(value)
  return `, got ${text.length > 80 ? `${text.slice(0, 77)}...` : text}`
}

/** The member of a value; a text stands for all entries of its list and is returned itself. */
function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return value
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

/**
 * Suggests the setting that was probably meant: a similar name in the same section, or the same name in another
 * section.
 */
export function didYouMean(path: readonly string[], leaves: readonly Leaf[]): string {
  const became = whatBecameOf(path, leaves)
  if (became) return became
  const lower = path.at(-1)!.toLowerCase()
  const wrong = otherWords.get(lower) ?? lower
  const depth = path.length - 1
  const members = leafAt(path.slice(0, depth), leaves)?.members?.map(member => member.path.at(-1)!)
  if (members !== undefined) return suggestion(wrong, members) || `; there are ${members.join(', ')}`
  const siblings = new Set(
    leaves
      .filter(leaf => leaf.path.length > depth && matches(leaf.path.slice(0, depth), path))
      .map(leaf => leaf.path[depth]!)
  )
  const elsewhere = leaves.find(leaf => leaf.path.at(-1)!.toLowerCase() === wrong)
  if (siblings.has(wrong) || elsewhere === undefined) return suggestion(wrong, [...siblings])
  return `; did you mean ${elsewhere.path.join('.')}?`
}

/** Names that other clients of Kafka have for an option, in lower case. */
const otherWords: ReadonlyMap<string, string> = new Map([
  ['ssl', 'tls'],
  ['bootstrapservers', 'brokers'],
  ['bootstrap.servers', 'brokers'],
  ['bootstrapbrokers', 'brokers'],
  ['connectiontimeout', 'connecttimeoutms'],
  ['requesttimeout', 'requesttimeoutms'],
  ['logcreator', 'log']
])

/** Two swapped letters count as two typos. */
const MAX_TYPOS = 2

/** Shorter common beginnings match too many names. */
const MIN_COMMON_START = 3

/**
 * Returns `; did you mean port?` when a name differs from the written text in at most two letters, or when one of the
 * two begins with the other (`directory` and `dir`). Case is ignored. Returns an empty text when no name is similar.
 */
export function suggestion(written: string, names: readonly string[], prefix = ''): string {
  const lower = written.toLowerCase()
  const [best] = names
    .map(name => ({ name, typos: distance(name.toLowerCase(), lower) }))
    .filter(({ name, typos }) => typos <= MAX_TYPOS || beginAlike(name.toLowerCase(), lower))
    .sort((a, b) => a.typos - b.typos)
  return best === undefined ? '' : `; did you mean ${prefix}${best.name}?`
}

function beginAlike(one: string, other: string): boolean {
  const isLongEnough = Math.min(one.length, other.length) >= MIN_COMMON_START
  return isLongEnough && (one.startsWith(other) || other.startsWith(one))
}
