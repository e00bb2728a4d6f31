import { isUtf8 } from 'node:buffer'
import type { FormField } from './form.js'

/**
 * The fields as one JSON object, in their order; duplicates are kept, as the original's encoder keeps them.
 *
 *   a=1&b&a=2   =>   {"a":"1","b":true,"a":"2"}
 *
 * @returns `undefined` when a name or value is not UTF-8, which JSON cannot hold
 */
export function toJsonObject(fields: readonly FormField[]): string | undefined {
  const members: string[] = []
  for (const { name, value } of fields) {
    if (!isUtf8(name) || (value !== true && !isUtf8(value))) return undefined
    members.push(`${JSON.stringify(name.toString())}:${value === true ? 'true' : JSON.stringify(value.toString())}`)
  }
  return `{${members.join(',')}}`
}
