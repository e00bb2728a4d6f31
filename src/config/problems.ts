import type { z } from 'zod'
import { editDistance } from './edit-distance.js'
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
  return found ? ` (${found.originAt?.(path) ?? found.origin})` : ''
}

function got(path: readonly string[], assignments: readonly Assignment[]): string {
  const found = find(path, assignments)
  if (!found || found.path.length > path.length) return ''
  const item = path[found.path.length]
  const value = item !== undefined && Array.isArray(found.value) ? found.value[Number(item)] : found.value
  // What has an @ may be an address with a user name and a password before it.
  if ((JSON.stringify(found.value) ?? '').includes('@')) return ''
  const text = JSON.stringify(value) ?? String(value)
  return `, got ${text.length > 80 ? `${text.slice(0, 77)}...` : text}`
}

/** Names the setting that was probably meant: the same section, or the same name elsewhere. */
export function didYouMean(path: readonly string[], leaves: readonly Leaf[]): string {
  const wrong = path.at(-1)!.toLowerCase()
  const depth = path.length - 1
  const siblings = new Set(
    leaves
      .filter(leaf => leaf.path.length > depth && matches(leaf.path.slice(0, depth), path))
      .map(leaf => leaf.path[depth]!)
  )
  const near = [...siblings].find(name => name !== '*' && editDistance(name.toLowerCase(), wrong) <= 2)
  if (near) return `; did you mean ${near}?`
  const elsewhere = leaves.find(leaf => leaf.path.at(-1)!.toLowerCase() === wrong)
  return elsewhere ? `; did you mean ${elsewhere.path.join('.')}?` : ''
}
