import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { holdsLog } from '../../../src/producer/log/open-durable-log.js'
import { walSettings } from '../../../src/producer/log/settings.js'

const SEEDS = 2
const SECONDS = 10
const LIMIT_MS = 600_000

describe('simulation: the same seed gives the same world', () => {
  async function ranTwice(...which: readonly string[]): Promise<string> {
    const args = ['run', '--silent', 'simulate', '--', ...which, '--seconds', String(SECONDS), '--twice']
    return promisify(execFile)('npm', args).then(
      ({ stdout }) => stdout,
      (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`
    )
  }

  it(`${SEEDS} seeds run twice have equal traces, and nothing is wrong in them`, async function () {
    this.timeout(LIMIT_MS)
    const output = await ranTwice('--seeds', `1-${SEEDS}`, '--jobs', '2')
    expect(output).not.to.match(/VIOLATION|NOT THE SAME/)
    expect(output.match(/^seed \d+ /gm)).to.have.length(SEEDS)
    // Counted once, however many processes there are: CI adds such lines up.
    expect(output.match(/\d+ (passing|failing)/g)).to.deep.equal([`${SEEDS} passing`])
  })

  it('a world of gateways that call each other, run twice, has equal traces', async function () {
    this.timeout(LIMIT_MS)
    const output = await ranTwice('--seeds', '3-3', '--scenario', 'lent')
    expect(output).not.to.match(/VIOLATION|NOT THE SAME/)
    expect(output).to.match(/1 passing/)
  })
})

describe('simulation: the working folder', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-left-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is not looked at: a run is fine beside the log that a gateway has left there', async function () {
    this.timeout(LIMIT_MS)
    const log = join(folder, walSettings.parse({}).directory)
    mkdirSync(join(log, 'receipts'), { recursive: true })
    writeFileSync(join(log, 'receipts', '0000000000000000.rows'), '')
    expect(holdsLog(log)).to.equal(true)
    const run = promisify(execFile)
    await run('node_modules/.bin/tsc', ['-p', 'test/runs/simulation/tsconfig.json'])
    const program = resolve('.cache/simulation/test/runs/simulation/run.js')
    const args = [program, '--seed', '1', '--scenario', 'push', '--seconds', '1', '--only', 'none']
    const output = await run(process.execPath, args, { cwd: folder }).then(
      ({ stdout }) => stdout,
      (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`
    )
    expect(output).to.match(/1 passing/)
    expect(readdirSync(log)).to.deep.equal(['receipts'])
  })
})
