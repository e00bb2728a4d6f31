import { setTimeout as pass } from 'node:timers/promises'
import { onCluster } from '../../support/stage.js'
import { EtlStage } from './etl-stage.js'

const KILLS = 10
const ORDERS_A_KILL = 50
const AWAY_MS = 5_000

describe('chaos: transactions of a program that is killed ten times', function () {
  this.timeout(400_000)
  const stage = onCluster()

  it('write one bill for each order, as a reader of committed records sees them', async () => {
    const etl = await EtlStage.open(stage)
    const names = { id: etl.group, instanceId: etl.group }
    for (let kill = 0; kill < KILLS; kill++) {
      const program = etl.start(names)
      await etl.write(ORDERS_A_KILL)
      await program.line(/^committed/)
      await etl.write(ORDERS_A_KILL)
      await program.stop('SIGKILL')
    }
    etl.start(names)
    await etl.expectOneBillEach()
  })
})

describe('chaos: transactions of two programs while each broker is killed, and stands still', function () {
  this.timeout(400_000)
  const stage = onCluster()

  it('write one bill for each order', async () => {
    const etl = await EtlStage.open(stage)
    const names = ['a', 'b'].map(name => ({ id: `${etl.group} ${name}`, instanceId: name }))
    const programs = names.map(options => etl.start(options))
    await etl.writing(Promise.all(programs.map(program => program.line(/^committed/))))
    for (const node of stage.cluster.nodeIds) {
      await stage.cluster.killNode(node)
      await etl.writing(pass(AWAY_MS).then(() => stage.cluster.reviveNode(node)))
      await stage.cluster.pauseNode(node)
      await etl.writing(pass(AWAY_MS).then(() => stage.cluster.resumeNode(node)))
    }
    await etl.expectOneBillEach()
  })
})
