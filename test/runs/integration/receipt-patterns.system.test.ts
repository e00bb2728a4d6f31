import { execFile, execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { transformSync } from 'esbuild'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'

const LIMIT_MS = 60_000

/** The programs of a section, by their language. */
function programsOf(page: string, section: string): ReadonlyMap<string, string> {
  const [, text = ''] = readFileSync(`docs/${page}.md`, 'utf8').split(new RegExp(`\n##+ ${section}\n`))
  const blocks = text.split(/\n##+ /)[0]!.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)
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
  ['sh', '.sh', ['sh'], ['curl']],
  ['python', '.py', ['python3'], ['python3']],
  ['ts', '.mjs', [process.execPath], []]
]

describe('the patterns of docs/idempotency.md', function () {
  this.timeout(2 * LIMIT_MS)
  const stage = onBroker(undefined, true)
  let folder: string
  let app: App
  beforeEach(async () => {
    folder = stage.folder()
    app = await stage.app({ 'wal.directory': join(folder, 'wal') })
  })

  /** Runs a program to its end, whatever its exit code is; resolves with all that it has written. */
  const runProgram = async (program: string, suffix: string, command: readonly string[]): Promise<string> => {
    const file = join(folder, `program${suffix}`)
    const here = program.replaceAll('http://127.0.0.1:8080', app.urls.shared!)
    writeFileSync(file, suffix === '.mjs' ? transformSync(here, { loader: 'ts' }).code : here)
    const options = { timeout: LIMIT_MS }
    return new Promise((resolve, reject) => {
      execFile(command[0]!, [...command.slice(1), file], options, (error, stdout, stderr) => {
        if (error?.killed === true) reject(new Error(`the program does not end: ${stdout}${stderr}`))
        else resolve(stdout + stderr)
      })
    })
  }
  const recordsOf = async (topic: string): Promise<number> => {
    const giveUpAt = performance.now() + LIMIT_MS
    while (stage.cluster.records(topic, 0).length === 0 && performance.now() < giveUpAt) {
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    return stage.cluster.records(topic, 0).length
  }
  const isMissing = (needs: readonly string[]): boolean => needs.some(tool => !has(tool, '--version'))

  const patterns = [
    ['idempotency', 'Retry until known', 'orders', /"offset":0/],
    [
      'idempotency',
      'Exactly one record from an at-least-once client',
      'invoices',
      /x-castellan-receipt|^([\w-]{38,}) \1$/m
    ]
  ] as const
  for (const [page, section, topic, told] of patterns) {
    for (const [language, suffix, command, needs] of runners) {
      it(`${page}, ${section}, ${language}: writes one record, and tells where it is`, async function () {
        if (isMissing(needs)) this.skip()
        stage.cluster.createTopic(topic, { partitions: 1 })
        expect(await runProgram(programsOf(page, section).get(language)!, suffix, command)).to.match(told)
        expect(await recordsOf(topic)).to.equal(1)
      })
    }
  }

  for (const [language, suffix, command, needs] of runners) {
    it(`idempotency, Retry until known, ${language}: ends when Kafka refuses the record, with one dead letter`, async function () {
      if (isMissing(needs)) this.skip()
      stage.cluster.createTopic('orders', { partitions: 1 })
      stage.cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'error', errorCode: 10 })
      const told = await runProgram(programsOf('idempotency', 'Retry until known').get(language)!, suffix, command)
      expect(told).to.contain('"retriable":false')
      const status = await (await fetch(`${app.urls.management}/status.json`)).json()
      expect((status as { log: { deadLetters: number } }).log.deadLetters).to.equal(1)
    })

    it(`idempotency, Retry until known, ${language}: ends when the request cannot be read`, async function () {
      if (isMissing(needs)) this.skip()
      const program = programsOf('idempotency', 'Retry until known').get(language)!
      const told = await runProgram(program.replaceAll('/orders', '/no%2Ftopic'), suffix, command)
      expect(told).to.contain('"retriable":false')
    })
  }
})
