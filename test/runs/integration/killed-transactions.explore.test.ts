import { onCluster } from '../../support/stage.js'
import { EtlStage } from './etl-stage.js'

const KILLS = 10
const ORDERS_A_KILL = 50

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
