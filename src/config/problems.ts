import type { z } from 'zod'
import type { Leaf } from './leaves.js'
import type { Assignment } from './sources.js'

type Issue = z.core.$ZodIssue

/**
 * Turns what the schema found into lines an operator can act on:
 *
 *   http.port: expected integer, got "eighty" (CASTELLAN_HTTP_PORT)
 *   http.prot: no such setting; did you mean port? (castellan.yaml)
 */
export function toProblems(error: z.ZodError, assignments: readonly Assignment[], leaves: readonly Leaf[]): string[] {
  return error.issues.flatMap(issue => describe(issue, assignments, leaves))
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
  const leaf = leaves.find(({ path: candidate }) => matches(candidate, path))
  const given = leaf && !leaf.isSecret ? got(path, assignments) : ''
  if (issue.code === 'invalid_type' || issue.code === 'invalid_union' || issue.code === 'invalid_value') {
    return `expected ${leaf?.type ?? ('expected' in issue ? issue.expected : 'something else')}${given}`
  }
  if (issue.code === 'too_small')
    return `must be at least ${issue.minimum}${issue.origin === 'string' ? ' characters' : ''}${given}`
  if (issue.code === 'too_big')
    return `must be at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}${given}`
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => message).join('; ')
  return `${issue.message}${given}`
}

const matches = (pattern: readonly string[], path: readonly string[]): boolean =>
  pattern.length <= path.length && pattern.every((part, index) => part === '*' || part === path[index])

/** The last assignment at, above or below a path decided. */
function find(path: readonly string[], assignments: readonly Assignment[]): Assignment | undefined {
  const common = (candidate: readonly string[]): boolean =>
    candidate.slice(0, path.length).every((part, index) => part === path[index])
  return assignments.findLast(({ path: candidate }) => common(candidate))
}

function origin(path: readonly string[], assignments: readonly Assignment[]): string {
  const found = find(path, assignments)
  return found ? ` (${found.origin})` : ''
}

function got(path: readonly string[], assignments: readonly Assignment[]): string {
  const found = find(path, assignments)
  if (!found || found.path.length > path.length) return ''
  const item = path[found.path.length]
  const value = item !== undefined && Array.isArray(found.value) ? found.value[Number(item)] : found.value
  const text = JSON.stringify(value) ?? String(value)
  return `, got ${text.length > 80 ? `${text.slice(0, 77)}...` : text}`
}

/** Names the setting that was probably meant: the same section, or the same name elsewhere. */
function didYouMean(path: readonly string[], leaves: readonly Leaf[]): string {
  const wrong = path.at(-1)!.toLowerCase()
  const depth = path.length - 1
  const siblings = new Set(
    leaves
      .filter(leaf => leaf.path.length > depth && matches(leaf.path.slice(0, depth), path))
      .map(leaf => leaf.path[depth]!)
  )
  const near = [...siblings].find(name => name !== '*' && distance(name.toLowerCase(), wrong) <= 2)
  if (near) return `; did you mean ${near}?`
  const elsewhere = leaves.find(leaf => leaf.path.at(-1)!.toLowerCase() === wrong)
  return elsewhere ? `; did you mean ${elsewhere.path.join('.')}?` : ''
}

/** How many letters to add, drop, change or swap with a neighbour to make one word of the other. */
function distance(from: string, to: string): number {
  const rows = Array.from({ length: from.length + 1 }, (_, i) =>
    Array.from({ length: to.length + 1 }, (_, j) => (i === 0 ? j : j === 0 ? i : 0))
  )
  for (let i = 1; i <= from.length; i++) {
    for (let j = 1; j <= to.length; j++) {
      const change = rows[i - 1]![j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      const swap = swapped ? rows[i - 2]![j - 2]! + 1 : Number.POSITIVE_INFINITY
      rows[i]![j] = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, change, swap)
    }
  }
  return rows[from.length]![to.length]!
}
