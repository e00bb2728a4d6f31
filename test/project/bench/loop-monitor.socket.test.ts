import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { LoopMonitor } from '../../../examples/bench/tools/loop-figures.js'

/**
 * Blocks the event loop and collects garbage for each line on stdin. The pause before lets the monitor begin: it measures
 * from its own timer on, which is due earlier.
 */
const SERVER = `
  const block = () => {
    for (const end = performance.now() + 60; performance.now() < end; );
    gc()
    setTimeout(() => console.log('done'), 20)
  }
  process.stdin.on('data', () => setTimeout(block, 20))
  console.log('ready')`

describe('bench loop monitor', () => {
  let directory: string
  let server: ChildProcess | undefined
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-monitor-'))
  })
  afterEach(async () => {
    if (server?.exitCode === null) {
      server.kill('SIGKILL')
      await once(server, 'exit')
    }
    rmSync(directory, { recursive: true })
  })

  it('gives the longest tick and the longest pause of the collector since it was asked last', async () => {
    const monitor = new LoopMonitor(directory)
    server = spawn(process.execPath, ['--expose-gc', ...monitor.nodeFlags, '--eval', SERVER])
    const said = (): Promise<unknown> => once(server!.stdout!, 'data')
    await said()
    await monitor.take()
    for (let time = 0; time < 2; time++) {
      server.stdin!.write('\n')
      await said()
      const { longestTickMs, longestGcMs, gcMs } = await monitor.take()
      expect(longestTickMs).to.be.at.least(60)
      expect(longestGcMs).to.be.greaterThan(0)
      expect(gcMs).to.be.at.least(longestGcMs)
    }
  })
})
