import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { type EmbeddedCluster, startEmbeddedCluster } from '../../src/index.js'
import type { App } from '../../src/server/app/app.js'
import { startTestApp } from '../support/app-under-test.js'

const run = promisify(execFile)
const PAGE = readFileSync('docs/receipts.md', 'utf8')
const LIMIT_MS = 60_000

/** The programs of a section, by their language. */
function programsOf(section: string): ReadonlyMap<string, string> {
  const [, text = ''] = PAGE.split(`\n## ${section}\n`)
  const blocks = text.split('\n## ')[0]!.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)
  return new Map([...blocks].map(([, language, program]) => [language!, program!]))
}

function has(command: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const runners: readonly [language: string, suffix: string, command: readonly string[], needs: readonly string[]][] = [
  ['sh', '.sh', ['sh'], ['curl', 'uuidgen']],
  ['python', '.py', ['python3'], ['python3']],
  ['ts', '.mts', [process.execPath, '--import', 'tsx'], []]
]

describe('the patterns of docs/receipts.md', function () {
  this.timeout(2 * LIMIT_MS)
  let cluster: EmbeddedCluster
  let folder: string
  let app: App
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-patterns-'))
    cluster = await startEmbeddedCluster()
    app = await startTestApp(cluster.bootstrap, { 'wal.directory': join(folder, 'wal') })
  })
  afterEach(async () => {
    await app.stop()
    await cluster.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const patterns = [
    ['Fire and ask', 'orders', /inKafka"?[ ,].*\b0\b/s],
    ['Retry until known', 'orders', /inKafka"?[ ,].*\b0\b/s],
    ['Exactly one record from an at-least-once client', 'invoices', /inKafka|true true/i]
  ] as const
  for (const [section, topic, told] of patterns) {
    for (const [language, suffix, [command, ...args], needs] of runners) {
      it(`${section}, ${language}: writes one record, and tells where it is`, async function () {
        if (needs.some(tool => !has(tool, '--version'))) this.skip()
        cluster.createTopic(topic, { partitions: 1 })
        const program = programsOf(section).get(language)!.replaceAll('http://127.0.0.1:8080', app.urls.shared!)
        const file = join(folder, `program${suffix}`)
        writeFileSync(file, program)
        const { stdout } = await run(command!, [...args, file], { timeout: LIMIT_MS })
        expect(stdout).to.match(told)
        expect(cluster.records(topic, 0)).to.have.length(1)
      })
    }
  }
})
