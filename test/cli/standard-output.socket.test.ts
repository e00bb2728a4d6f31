import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { usesColors } from '../../src/cli/standard-output.js'
import { LOADER, moduleUrl } from '../support/built.js'
import { runCommand } from './run-command.js'

/** A stdout that fails as the operating system would. */
function failing(code: string, errno: number): NodeJS.WriteStream {
  const stream = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error(`write ${code}`), { code, errno }))
  })
  stream.on('error', () => undefined)
  return stream as unknown as NodeJS.WriteStream
}

describe('stdout', () => {
  it('that is full ends a command with exit code 1 and the reason', async () => {
    for (const args of [['--help'], ['version'], ['serve', '--print-config']]) {
      const { code, stderr } = await runCommand(args, { stdout: failing('ENOSPC', -28) })
      expect([code, stderr]).to.deep.equal([1, 'castellan: cannot write to stdout: no space left on device (ENOSPC)\n'])
    }
  })

  it('that is closed ends a command with exit code 1 and no message', async () => {
    const { code, stderr } = await runCommand(['--help'], { stdout: failing('EPIPE', -32) })
    expect([code, stderr]).to.deep.equal([1, ''])
  })

  it('that is full ends the process with exit code 1', function () {
    if (!existsSync('/dev/full')) {
      console.log('    SKIPPED: this system has no /dev/full')
      this.skip()
    }
    const full = openSync('/dev/full', 'w')
    const { status, stderr } = spawnSync(process.execPath, [...LOADER, fileURLToPath(moduleUrl('main')), '--help'], {
      stdio: ['ignore', full, 'pipe']
    })
    closeSync(full)
    expect([status, stderr.toString()]).to.deep.equal([
      1,
      'castellan: cannot write to stdout: no space left on device (ENOSPC)\n'
    ])
  })

  it('has colours on a terminal, unless NO_COLOR says otherwise', () => {
    const [terminal, pipe] = [{ isTTY: true }, { isTTY: false }] as NodeJS.WriteStream[]
    expect(usesColors(terminal!, {})).to.equal(true)
    expect(usesColors(terminal!, { NO_COLOR: '' })).to.equal(true)
    expect(usesColors(terminal!, { NO_COLOR: '1' })).to.equal(false)
    expect(usesColors(pipe!, {})).to.equal(false)
  })
})
