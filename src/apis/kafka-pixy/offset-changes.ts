import type { OffsetAndMetadata } from '../../core/model.js'
import { checkJson, GoJsonError } from './go-json-check.js'

const LIST_TYPE = '[]httpsrv.partitionInfo'
const ITEM_TYPE = 'httpsrv.partitionInfo'

/** Members of an item, with their types in Go. Only three of them count. */
const MEMBERS: ReadonlyMap<string, 'int32' | 'int64' | 'string'> = new Map([
  ['partition', 'int32'],
  ['begin', 'int64'],
  ['end', 'int64'],
  ['count', 'int64'],
  ['offset', 'int64'],
  ['lag', 'int64'],
  ['metadata', 'string'],
  ['sparse_acks', 'string']
])

/**
 * Offsets to be set, by partition. What is missing is 0, and letters of names may be large or small.
 *
 *   [{"partition": 1, "offset": -2}]   =>   1: -2
 *
 * @throws GoJsonError in the words of the original
 */
export function offsetChangesOf(body: Buffer): ReadonlyMap<number, OffsetAndMetadata> {
  checkJson(body.toString('latin1'))
  const list: unknown = JSON.parse(body.toString())
  if (list === null) return new Map()
  if (!Array.isArray(list)) throw mismatch(list, `Go value of type ${LIST_TYPE}`)
  return new Map(list.map(changeOf))
}

function changeOf(item: unknown): [partition: number, OffsetAndMetadata] {
  if (item !== null && (typeof item !== 'object' || Array.isArray(item))) {
    throw mismatch(item, `Go value of type ${ITEM_TYPE}`)
  }
  const found = new Map<string, unknown>()
  for (const [name, value] of Object.entries(item ?? {})) {
    const member = name.toLowerCase()
    if (value !== null) found.set(member, checked(member, value))
  }
  const metadata = found.get('metadata') as string | undefined
  const offset = (found.get('offset') as number | undefined) ?? 0
  return [(found.get('partition') as number | undefined) ?? 0, { offset, ...(metadata && { metadata }) }]
}

function checked(member: string, value: unknown): unknown {
  const type = MEMBERS.get(member)
  if (type === undefined || (type === 'string' ? typeof value === 'string' : isWhole(value, type))) return value
  throw mismatch(value, `Go struct field partitionInfo.${member} of type ${type}`, type !== 'string')
}

const isWhole = (value: unknown, type: 'int32' | 'int64'): boolean =>
  Number.isSafeInteger(value) && (type === 'int64' || Math.trunc(value as number) === ((value as number) | 0))

/** @param isForNumber Go tells which number does not fit, where a number is expected */
const mismatch = (value: unknown, type: string, isForNumber = false): GoJsonError =>
  new GoJsonError(
    `json: cannot unmarshal ${kindOf(value)}${isForNumber && typeof value === 'number' ? ` ${value}` : ''} into ${type}`
  )

function kindOf(value: unknown): string {
  if (typeof value === 'boolean') return 'bool'
  return Array.isArray(value) ? 'array' : typeof value
}
