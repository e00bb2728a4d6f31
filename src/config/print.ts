import { stringify } from 'yaml'
import type { Config } from './config.js'
import { describeSettings } from './leaves.js'

const secretNames = new Set(describeSettings().leaves.flatMap(leaf => leaf.secretNames))

/** The configuration in effect as YAML that `--config` takes; secrets are written as `(secret)`. */
export const toYaml = (config: Config): string => stringify(redact(config), { lineWidth: 0 })

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
