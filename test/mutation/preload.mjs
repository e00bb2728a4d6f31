// Loaded into every process and thread of a run: notes which mutants the code comes by. What another process or thread
// comes by is written to the file that COVERAGE_FILE names.
import { appendFileSync } from 'node:fs'

const file = process.env.COVERAGE_FILE
if (file !== undefined) {
  const seen = new Set()
  const note = id => {
    if (seen.has(id)) return
    seen.add(id)
    appendFileSync(file, `${id}\n`)
  }
  const outsideOfTests = new Proxy({}, { set: (counts, id, count) => (note(id), (counts[id] = count), true) })
  globalThis.__stryker__ = { mutantCoverage: { static: outsideOfTests, perTest: {} } }
}
