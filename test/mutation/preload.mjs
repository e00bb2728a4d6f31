// Loaded into every process and thread of the tests: writes the mutants that the code comes by to the file that COVERAGE_FILE names.
import { appendFileSync } from 'node:fs'

const file = process.env.COVERAGE_FILE
if (file !== undefined) {
  const note = (counts, id, count) => {
    if (counts[id] === undefined) appendFileSync(file, `${id}\n`)
    counts[id] = count
    return true
  }
  globalThis.__stryker__ = { mutantCoverage: { static: new Proxy({}, { set: note }), perTest: {} } }
}
