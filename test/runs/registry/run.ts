import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Command } from 'commander'
import Mocha from 'mocha'
import { requirePrograms } from '../real-kafka/requirements.js'
import '../../support/whole-values.js'
import { toolOptions } from '../../support/tool-options.js'
import { endOnSignals } from '../tool.js'
import { startRegistry } from './registry.js'

const command = new Command('npm run test:registry --')
  .description(
    "The tests of test/runs/registry against a real schema registry, Apicurio's, and Confluent's serializers of Python. What they need is\n" +
      'fetched once by Maven and pip, into .cache/registry.'
  )
  .option('--grep <TEXT>', 'only tests whose title contains this')
const { grep } = toolOptions<{ readonly grep?: string }>(command)

endOnSignals()
requirePrograms('java', 'mvn')
const startedAt = performance.now()
const registry = await startRegistry()
console.log(`Apicurio Registry, up in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s: ${registry.url}`)
process.env.REGISTRY_URL = registry.url
process.env.REGISTRY_PYTHON = registry.python
process.env.REGISTRY_PID = String(registry.pid)
const mocha = new Mocha({ timeout: 60_000, forbidOnly: true, ...(grep && { grep }) })
const files = readdirSync(import.meta.dirname).filter(name => name.endsWith('.registry.test.ts'))
for (const name of files.sort()) {
  const file = join(import.meta.dirname, name)
  // Not by mocha's own loader: it requires what it can, and `import()` in the product then loads the same modules a second time.
  mocha.suite.emit('pre-require', globalThis, file, mocha)
  mocha.suite.emit('require', await import(pathToFileURL(file).href), file, mocha)
  mocha.suite.emit('post-require', globalThis, file, mocha)
}
const failures = await new Promise<number>(done => mocha.run(done))
await registry.stop()
process.exit(failures === 0 ? 0 : 1)
