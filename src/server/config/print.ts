import { Document, isMap, isScalar, type Pair, type YAMLMap } from 'yaml'
import { printable } from '../../core/printable.js'
import { withAdvancedApart } from './advanced.js'
import type { Config } from './config.js'
import { leaves } from './schema.js'

const secretNames = new Set(leaves.flatMap(leaf => leaf.secretNames))

/** Matches an empty list or section with a comment. The YAML library writes it in three lines. */
const COMMENT_BELOW_NOTHING = /:\n +(\[\]|\{\})\n +#/g

/**
 * Writes the configuration in effect as YAML for `--config`. Secrets are written as `(secret)`.
 *
 * @param originOf returns the origin of a value, which is written as a comment; absent: no comments
 */
export function toYaml(
  { webhookFiles: _, ...settings }: Config,
  originOf?: (path: readonly string[]) => string
): string {
  const document = new Document(withAdvancedApart(redact(settings) as object, leaves))
  if (originOf && isMap(document.contents)) explain(document.contents, [], originOf)
  return document.toString({ lineWidth: 0 }).replace(COMMENT_BELOW_NOTHING, ': $1 #')
}

function explain(section: YAMLMap, path: readonly string[], originOf: (path: readonly string[]) => string): void {
  for (const pair of section.items as Pair<{ value: string }, unknown>[]) {
    const at = [...path, pair.key.value]
    if (isMap(pair.value) && pair.value.items.length > 0) explain(pair.value, at, originOf)
    else comment(pair, printable(originOf(at)))
  }
}

/** Adds a comment to a setting: behind a single value, or above the items of a list. */
function comment({ key, value }: Pair<unknown, unknown>, text: string): void {
  const node = (value ?? key) as { comment?: string; commentBefore?: string; items?: readonly unknown[] }
  if (isScalar(value) || node.items?.length === 0) node.comment = ` ${text}`
  else node.commentBefore = ` ${text}`
}

/** A section may have the name of a secret: `webhooks.credentials`. */
const isValue = (value: unknown): boolean => value !== undefined && (typeof value !== 'object' || Array.isArray(value))

/** Returns a copy in which secrets are replaced. */
function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [
      key,
      secretNames.has(key) && isValue(child) ? '(secret)' : redact(child)
    ])
  )
}
