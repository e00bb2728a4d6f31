import { z } from 'zod'
import { ConfigError } from '../errors.js'
import { printable } from '../printable.js'
import { describeSchema } from './leaves.js'
import { type Assignment, toProblems } from './problems.js'

/** Objects that are nested deeper than this are not options; they belong to the caller. */
const MAX_DEPTH = 3
/** Compiling a check takes longer than checking once without. */
export const ONCE = { jitless: true }

/** The options of a caller who gives none. */
export const defaultsOf = <Schema extends z.ZodType>(schema: Schema): z.output<Schema> => schema.parse({}, ONCE)

/**
 * Checks options of the library against the same schema as the configuration. An option that is absent or `undefined`
 * has its default.
 * @param taker the function that receives the options, for messages
 * @param name the option of `taker` that holds the checked options; absent: they are all options of `taker`
 * @throws ConfigError with one line for each option that is wrong
 */
export function parseOptions<Schema extends z.ZodType>(
  schema: Schema,
  given: unknown,
  taker: string,
  name?: string
): z.output<Schema> {
  const parsed = schema.safeParse(given, ONCE)
  if (parsed.success) return parsed.data
  throw name === undefined
    ? toError(schema, given, taker)
    : toError(z.strictObject({ [name]: schema }), { [name]: given }, taker)
}

/** Checks the options a second time, so that the errors name the whole path of every option. */
function toError(schema: z.ZodType, given: unknown, taker: string): ConfigError {
  const { error } = schema.safeParse(given)
  const problems = toProblems(error!.issues, toAssignments(given, taker), describeSchema(schema).leaves)
  return new ConfigError(problems.map(printable).join('\n'))
}

function toAssignments(value: unknown, origin: string, path: readonly string[] = []): Assignment[] {
  const isWhole = !isPlain(value) || (path.length > 0 && Object.keys(value).length === 0)
  if (isWhole || path.length === MAX_DEPTH) return [{ path, value, origin }]
  return Object.entries(value).flatMap(([key, child]) => toAssignments(child, origin, [...path, key]))
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
