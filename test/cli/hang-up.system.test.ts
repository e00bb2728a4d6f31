import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'

import { Children } from './child.js'

describe('SIGHUP', function () {
  this.timeout(120_000)
  const children = new Children()
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-hang-up-'))
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true, force: true })
  })

  it('does not end a gateway that is still starting', async () => {
    const file = (name: string) => join(folder, name)
    // The start waits for hooks to be loaded, and these are loaded when the test says so.
    writeFileSync(
      file('hooks.mjs'),
      `import { existsSync, writeFileSync } from 'node:fs'
      writeFileSync(${JSON.stringify(file('loading'))}, '')
      while (!existsSync(${JSON.stringify(file('go-on'))})) await new Promise(resolve => setTimeout(resolve, 20))
      export default {}
      `
    )
    const child = children.start([
      ...['serve', '--port', '0', '--management-port', '0', '--embedded-port', '0'],
      ...['--set', `apis.kafboy.callbackEditJson=${file('hooks.mjs')}`]
    ])
    while (!existsSync(file('loading'))) await sleep(20)
    child.process.kill('SIGHUP')
    await child.line(/SIGHUP: reading settings, certificates and keys again/)
    writeFileSync(file('go-on'), '')
    await child.line(/listening on http/)
    expect(await child.stop()).to.equal(0)
    expect(child.stderr).to.equal('')
  })
})
