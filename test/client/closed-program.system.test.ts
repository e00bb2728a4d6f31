import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect } from 'chai'
import { onBroker } from '../support/stage.js'
import { walDirectoryOf } from '../support/wal-directory.js'

describe('a program that has closed its castellan', () => {
  const stage = onBroker()

  it('has nothing left that keeps it alive, whatever verb was at work, and ends by itself', async function () {
    this.timeout(120_000)
    for (const topic of ['orders', 'empty']) stage.cluster.createTopic(topic, { partitions: 1 })
    // Changes that are not answered: the program looks whether they were made, and is closed meanwhile.
    for (const api of ['DeleteRecords', 'DeleteTopics', 'CreatePartitions', 'DeleteGroups'] as const)
      stage.cluster.faults.add({ api, count: Number.POSITIVE_INFINITY }, { type: 'dropRequest' })
    const args = ['--import', 'tsx', 'test/client/closed-program.ts', stage.cluster.bootstrap, walDirectoryOf('apps')]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', text => (output += text))
    // A program that does not end is told by its signal.
    const deadline = setTimeout(() => child.kill(), 100_000)
    const [code] = await once(child, 'exit')
    clearTimeout(deadline)
    const lines = output
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { readonly name: string; readonly left: string })
    expect(lines.filter(({ left }) => left !== '')).to.deep.equal([])
    expect([code, lines.length]).to.deep.equal([0, 33])
  })
})
