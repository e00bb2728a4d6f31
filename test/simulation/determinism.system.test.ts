import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'chai'

const SEEDS = 2
const SECONDS = 10
const LIMIT_MS = 600_000

describe('simulation: the same seed gives the same world', () => {
  it(`${SEEDS} seeds run twice have equal traces, and nothing is wrong in them`, async function () {
    this.timeout(LIMIT_MS)
    const args = ['run', '--silent', 'simulate', '--', '--seeds', `1-${SEEDS}`, '--seconds', String(SECONDS)]
    const run = promisify(execFile)('npm', [...args, '--twice', '--jobs', '2'])
    const output = await run.then(
      ({ stdout }) => stdout,
      (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`
    )
    expect(output).not.to.match(/VIOLATION|NOT THE SAME/)
    expect(output.match(/^seed \d+ /gm)).to.have.length(SEEDS)
    // Counted once, however many processes there are: CI adds such lines up.
    expect(output.match(/\d+ (passing|failing)/g)).to.deep.equal([`${SEEDS} passing`])
  })
})
