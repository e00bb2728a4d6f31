import { expect } from 'chai'
import type { InstanceResult, InstanceSettings } from '../../src/verbs/verbs.js'

/** The settings of a consumer instance that commits nothing by itself and begins with the first record. */
export const instanceSettings: InstanceSettings = {
  api: 'test',
  format: 'binary',
  start: 'earliest',
  autoCommitMs: undefined,
  minBytes: undefined,
  maxWaitMs: 2_000,
  maxBytes: 1 << 20,
  idleMs: undefined
}

/** The value of a verb that has to succeed. */
export function done<Value>(result: InstanceResult<Value>): Value {
  if (result.type !== 'done') return expect.fail(JSON.stringify(result))
  return result.value
}
