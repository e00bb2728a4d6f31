import { Document, isMap, isScalar, type Pair, type YAMLMap } from 'yaml'
import { printable } from '../../core/printable.js'
import type { Config } from './config.js'
import { describeSettings } from './schema.js'

const secretNames = new Set(describeSettings().leaves.flatMap(leaf => leaf.secretNames))

/** What the YAML library makes of an empty list or section that has a comment: three lines. */
const COMMENT_BELOW_NOTHING = /:\n +(\[\]|\{\})\n +#/g

/**
 * The configuration in effect as YAML that `--config` takes; secrets are written as `(secret)`.
 *
 * @param originOf where a value comes from, written beside it as a comment; absent: no comments
 */
export function toYaml(config: Config, originOf?: (path: readonly string[]) => string): string {
  const document = new Document(redact(config))
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

/** Behind a single value, above the items of a list. */
function comment({ key, value }: Pair<unknown, unknown>, text: string): void {
  const node = (value ?? key) as { comment?: string; commentBefore?: string; items?: readonly unknown[] }
  if (isScalar(value) || node.items?.length === 0) node.comment = ` ${text}`
  else node.commentBefore = ` ${text}`
}

/** A copy whose secrets cannot be read. */
export function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [
      key,
      secretNames.has(key) && child !== undefined ? '(secret)' : redact(child)
    ])
  )
}
