import { z } from 'zod'
import { parseOptions } from '../core/settings/options.js'
import { suggestion } from '../core/settings/problems.js'
import { countOrZero, functionOf } from '../core/settings/units.js'
import { apiNames, type FaultAction, type FaultMatch } from './embedded-cluster.js'

const isApi = (name: unknown): boolean => apiNames.some(known => known === name)
const requests = z.custom<number>(value => value === Number.POSITIVE_INFINITY || countOrZero.safeParse(value).success, {
  error: 'expected a whole number of at least 0, or Infinity'
})

const match = z.strictObject({
  api: z.custom<FaultMatch['api']>(isApi, {
    error: ({ input }) => `expected the name of a request of Kafka${suggestion(String(input), apiNames)}`
  }),
  nodeId: countOrZero.optional(),
  topic: z.string().optional(),
  partition: countOrZero.optional(),
  count: requests.optional(),
  skip: requests.optional()
})

const afterWork = z.boolean().optional()
const actions: { readonly [Type in FaultAction['type']]: z.ZodType } = {
  error: z.strictObject({ type: z.literal('error'), errorCode: z.int() }),
  errorAfter: z.strictObject({ type: z.literal('errorAfter'), errorCode: z.int() }),
  delay: z.strictObject({ type: z.literal('delay'), delayMs: z.number().min(0), afterWork }),
  dropResponse: z.strictObject({ type: z.literal('dropResponse') }),
  dropRequest: z.strictObject({ type: z.literal('dropRequest') }),
  truncate: z.strictObject({ type: z.literal('truncate'), bytes: countOrZero }),
  corrupt: z.strictObject({ type: z.literal('corrupt'), mutate: functionOf() }),
  close: z.strictObject({ type: z.literal('close'), afterWork })
}
const typed = z.looseObject({
  type: z.custom<FaultAction['type']>(type => Object.hasOwn(actions, String(type)), {
    error: ({ input }) => `expected the type of a fault${suggestion(String(input), Object.keys(actions))}`
  })
})

/** @throws ConfigError that names every wrong field of a fault */
export function checkFault(wanted: FaultMatch, action: FaultAction): void {
  parseOptions(match, wanted, 'faults.add', 'match')
  const { type } = parseOptions(typed, action, 'faults.add', 'action')
  parseOptions(actions[type], action, 'faults.add', 'action')
}
