import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { startTestApp } from '../../support/app-under-test.js'

interface Generator {
  /** What has to be installed for it to run. */
  readonly tools: readonly string[]
  /** Installs the generator, makes a client of `../openapi.json`, and builds it. */
  readonly script: string
}

const npm = (...packages: readonly string[]): string => `npm init -y; npm i --no-audit --no-fund ${packages.join(' ')}`
const TSC = 'npx tsc --noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler'
const generators: Readonly<Record<string, Generator>> = {
  'openapi-typescript': {
    tools: ['npm'],
    script: `${npm('openapi-typescript@7.13.0', 'typescript@5.9')}; npx openapi-typescript ../openapi.json -o schema.d.ts; ${TSC} schema.d.ts`
  },
  orval: {
    tools: ['npm'],
    script: `${npm('orval@8.38.0', 'axios', 'typescript@5.9')}; npx orval --input ../openapi.json --output client.ts; ${TSC} client.ts`
  }
}

const bash = async (script: string, cwd: string): Promise<string> => {
  const ran = promisify(execFile)('bash', ['-ec', `{ ${script}; } 2>&1`], { cwd, maxBuffer: 1e8 })
  return ran.then(
    () => 'builds',
    ({ stdout }: { stdout: string }) => stdout.slice(-2_000)
  )
}

describe('The clients that generators make of /openapi.json', function () {
  this.timeout(600_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-clients-'))
  before(async () => {
    const cluster = await startEmbeddedCluster()
    const app = await startTestApp(cluster.bootstrap)
    writeFileSync(join(folder, 'openapi.json'), await (await fetch(`${app.urls.shared}/openapi.json`)).text())
    await app.stop()
    await cluster.close()
  })
  after(() => rmSync(folder, { recursive: true }))

  for (const [name, { tools, script }] of Object.entries(generators)) {
    it(`of ${name} build`, async function () {
      const missing = await bash(
        `for tool in ${tools.join(' ')}; do command -v $tool || { echo no $tool; exit 1; }; done`,
        folder
      )
      if (missing !== 'builds') {
        console.log(`      skipped: ${missing.trim()}`)
        this.skip()
      }
      const own = join(folder, name.replaceAll(' ', '-'))
      mkdirSync(own)
      expect(await bash(script, own)).to.equal('builds')
    })
  }
})
