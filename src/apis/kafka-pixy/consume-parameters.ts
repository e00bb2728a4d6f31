import { numberOf } from './numbers.js'
import { textOf, type Values } from './parameters.js'

/** Which message a request acknowledges: one by its place, the one that it gets (`auto`), or none. */
export type AckOf = 'auto' | 'none' | { readonly partition: number; readonly offset: number }

/** A parameter is missing or wrong; the text is that of the answer. */
export class ParameterError extends Error {}

/** @throws ParameterError when there is not exactly one, or it is empty */
export function groupOf(values: Values): string {
  const groups = values.get('group') ?? []
  if (groups.length !== 1) throw new ParameterError(`one consumer group is expected, but ${groups.length} provided`)
  if (groups[0] === '') throw new ParameterError('one consumer group is expected, but its name is empty')
  return textOf(groups[0]!)
}

/** @throws ParameterError when a number is wrong, or one of the two is missing */
export function ackOf(values: Values, partitionName: string, offsetName: string): AckOf {
  if (values.has('noAck')) return 'none'
  const partition = numberOf(values, partitionName, 32)
  const offset = numberOf(values, offsetName, 64)
  for (const number of [partition, offset]) {
    if (number !== undefined && 'error' in number) throw new ParameterError(number.error)
  }
  if (partition === undefined && offset === undefined) return 'auto'
  if (partition === undefined || offset === undefined || 'error' in partition || 'error' in offset) {
    throw new ParameterError(`${partitionName} and ${offsetName} either both should be provided or neither`)
  }
  const place = { partition: partition.value, offset: offset.value }
  return place.partition < 0 || place.offset < 0 ? 'none' : place
}
