import { z } from 'zod'
import { parseOptions } from '../../core/settings/options.js'
import { suggestion } from '../../core/settings/problems.js'
import { countOrZero, functionOf, milliseconds } from '../../core/settings/units.js'
import type { ReadStart } from './partition-reader.js'

const start = z.union([
  z.enum(['earliest', 'latest']),
  z.strictObject({ timestampMs: z.number().min(0) }),
  z.strictObject({ offset: countOrZero }),
  z.strictObject({ last: countOrZero })
])

/** Words of other clients for the two ends of a log. */
const otherEnds = new Map<unknown, string>([
  ['begin', '; did you mean earliest?'],
  ['beginning', '; did you mean earliest?'],
  ['start', '; did you mean earliest?'],
  ['end', '; did you mean latest?']
])
const meant = (given: unknown): string =>
  otherEnds.get(given) ?? (typeof given === 'string' ? suggestion(given, ['earliest', 'latest']) : '')

const readOptions = z.object({
  from: z
    .custom<ReadStart>(value => start.safeParse(value).success, {
      error: ({ input }) =>
        `expected earliest, latest, {timestampMs}, {offset} or {last}, none of them below 0${meant(input)}`
    })
    .optional(),
  follow: z.boolean().optional(),
  partitions: z.array(countOrZero).optional(),
  signal: z.custom(value => value instanceof AbortSignal, { error: 'expected an AbortSignal' }).optional(),
  requestTimeoutMs: milliseconds.optional(),
  onWarning: functionOf().optional(),
  schemas: z.unknown().optional()
})

/** The options that `read` has. */
export const READ_OPTIONS = Object.keys(readOptions.shape)

/** @throws ConfigError that names every wrong value */
export function checkReadOptions(options: unknown): void {
  parseOptions(readOptions, options, 'read')
}
