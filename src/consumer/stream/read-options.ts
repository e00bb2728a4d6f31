import { z } from 'zod'
import { parseOptions } from '../../core/settings/options.js'
import { suggestion } from '../../core/settings/problems.js'
import { milliseconds } from '../../core/settings/units.js'
import type { ReadStart } from './partition-reader.js'

const whole = z.int().min(0)
const start = z.union([
  z.enum(['earliest', 'latest']),
  z.strictObject({ timestampMs: z.number().min(0) }),
  z.strictObject({ offset: whole }),
  z.strictObject({ last: whole })
])

/** The end of a log that was probably meant; other clients call them `beginning` and `end`. */
function meant(given: unknown): string {
  const word = String(given)
    .replace(/^(begin|start).*/, 'earliest')
    .replace(/^end$/, 'latest')
  return suggestion(word, ['earliest', 'latest'])
}

const isFunction = (value: unknown): boolean => typeof value === 'function'

const readOptions = z.strictObject({
  from: z
    .custom<ReadStart>(value => start.safeParse(value).success, {
      error: ({ input }) =>
        `expected earliest, latest, {timestampMs}, {offset} or {last}, none of them below 0${meant(input)}`
    })
    .optional(),
  follow: z.boolean().optional(),
  partitions: z.array(whole).optional(),
  signal: z.custom(value => value instanceof AbortSignal, { error: 'expected an AbortSignal' }).optional(),
  requestTimeoutMs: milliseconds.optional(),
  onWarning: z.custom(isFunction, { error: 'expected a function' }).optional(),
  schemas: z.unknown().optional()
})

/** @throws ConfigError that names every wrong option of reading */
export function checkReadOptions(options: unknown): void {
  parseOptions(readOptions, options, 'read')
}
