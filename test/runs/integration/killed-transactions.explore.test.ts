import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect } from 'chai'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const KILLS = 10
const ORDERS_A_KILL = 150

describe('chaos: transactions of a program that is killed ten times', function () {
  this.timeout(400_000)
  const stage = onCluster()

  it('write one bill for each order, as a reader of committed records sees them', async () => {
    const [orders, bills] = [await stage.topic('orders', 3), await stage.topic('bills', 3)]
    const group = freshTopic('etl')
    const writer = await stage.library({ router: { isolationLevel: 'readCommitted' } })
    const said: string[] = []
    const start = (): ChildProcess => {
      const args = [
        '--import',
        'tsx',
        'test/runs/integration/etl-program.ts',
        stage.bootstrap,
        orders,
        bills,
        group,
        group
      ]
      const program = stage.keep(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] }), one =>
        one.kill('SIGKILL')
      )
      program.stderr.on('data', text => said.push(String(text)))
      return program
    }
    let written = 0
    const more = async (): Promise<void> => {
      const values = Array.from({ length: ORDERS_A_KILL }, (_, at) => `order ${written + at}`)
      written += ORDERS_A_KILL
      await writer.produceOrThrow(values.map(value => ({ topic: orders, key: value, value })))
    }
    for (let kill = 0; kill < KILLS; kill++) {
      const program = start()
      await more()
      await Promise.race([once(program.stdout!, 'data'), once(program, 'exit')])
      await more()
      const ended = once(program, 'exit')
      program.kill('SIGKILL')
      await ended
    }
    start()
    const seen: string[] = []
    for await (const { value } of writer.read(bills, { from: 'earliest', follow: true })) {
      seen.push(String(value))
      if (seen.length === written) break
    }
    const twice = seen.filter((bill, at) => seen.indexOf(bill) !== at)
    expect(twice, said.join('')).to.deep.equal([])
    expect(new Set(seen)).to.have.lengthOf(written)
  })
})
