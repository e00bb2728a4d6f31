import { InvalidRequestError } from '../../core/errors.js'
import type { ProduceRecord } from '../../core/model.js'
import { printable, shortened } from '../../core/printable.js'
import { suggestion } from '../../core/settings/suggestion.js'
import type { ProduceOptions } from './delivery.js'
import { partitioners } from './partitioners.js'

const DURABILITIES: readonly unknown[] = ['memory', 'disk', undefined]

/**
 * Refuses a call whose mistake would come to light later, among the records of others. Types do not keep JavaScript callers
 * out. Records are checked one by one, and refused one by one.
 *
 * @throws InvalidRequestError nothing was taken
 */
export function checkProduceCall(records: readonly ProduceRecord[], options: ProduceOptions): void {
  if (!Array.isArray(records)) throw new InvalidRequestError(`records have to be a list, not ${kindOf(records)}`)
  if (typeof options !== 'object' || options === null) {
    throw new InvalidRequestError('options with a partitioner are needed to produce')
  }
  const { partitioner, durability } = options
  if (typeof partitioner !== 'string' || !Object.hasOwn(partitioners, partitioner)) {
    const names = Object.keys(partitioners)
    const hint = typeof partitioner === 'string' ? suggestion(partitioner, names) : ''
    throw new InvalidRequestError(`partitioner has to be one of ${names.join(', ')}, not ${textOf(partitioner)}${hint}`)
  }
  if (!DURABILITIES.includes(durability)) {
    throw new InvalidRequestError(`durability has to be memory or disk, not ${textOf(durability)}`)
  }
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? `"${printable(shortened(value))}"` : kindOf(value)

const kindOf = (value: unknown): string => (value === null ? 'null' : typeof value)
