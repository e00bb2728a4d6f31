import { createContext, Script } from 'node:vm'

/** Limit of processor time for reading a schema, and for checking a value. A short schema can make either take for ever. */
const LIMIT_MS = 1_000
/** How often work is done anew that was interrupted while the process stood still, or other processes had the processor. */
const MAX_ATTEMPTS = 5

const sandbox = createContext({ work: undefined })
const script = new Script('work()')

/** The processor time of this process, in milliseconds. */
function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/**
 * Does work that may be interrupted at any point, and done anew. A timer of the wall clock interrupts it; it only ends if it
 * has used its processor time, so a process that was paused refuses nothing.
 *
 * @param usedMs for tests
 * @throws RangeError also when the work takes too long
 */
export function endedInTime<Value>(work: () => Value, limitMs = LIMIT_MS, usedMs = processorMs): Value {
  for (let attempt = 1; ; attempt++) {
    const startedAt = usedMs()
    sandbox.work = work
    try {
      return script.runInContext(sandbox, { timeout: limitMs }) as Value
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      if (usedMs() - startedAt >= limitMs / 2 || attempt === MAX_ATTEMPTS)
        throw new RangeError(`it takes more than ${limitMs} ms`)
    } finally {
      sandbox.work = undefined
    }
  }
}
