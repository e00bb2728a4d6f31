import { createContext, Script } from 'node:vm'

/** Time limit for reading a schema, and for checking a value. A short schema can make either take for ever. */
const TIME_LIMIT_MS = 1_000

const sandbox = createContext({ work: undefined })
const script = new Script('work()')

/** @throws RangeError also when the work takes too long */
export function endedInTime<Value>(work: () => Value): Value {
  sandbox.work = work
  try {
    return script.runInContext(sandbox, { timeout: TIME_LIMIT_MS }) as Value
  } catch (error) {
    const isLate = (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
    throw isLate ? new RangeError(`it takes more than ${TIME_LIMIT_MS} ms`) : error
  } finally {
    sandbox.work = undefined
  }
}
