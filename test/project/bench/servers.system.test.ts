import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { startGateway } from '../../../examples/bench/tools/servers.js'
import { walSettings } from '../../../src/producer/log/settings.js'

describe('a gateway under the load of a benchmark', () => {
  it('opens no log that another gateway has left in the working folder', async () => {
    const before = process.cwd()
    const folder = mkdtempSync(join(tmpdir(), 'castellan-left-'))
    try {
      const log = join(folder, walSettings.parse({}).directory)
      mkdirSync(join(log, 'receipts'), { recursive: true })
      writeFileSync(join(log, 'receipts', '0000000000000000.rows'), '')
      process.chdir(folder)
      const gateway = await startGateway('127.0.0.1:1')
      await gateway.stop()
      expect(readdirSync(log)).to.deep.equal(['receipts'])
    } finally {
      process.chdir(before)
      rmSync(folder, { recursive: true })
    }
  })
})
