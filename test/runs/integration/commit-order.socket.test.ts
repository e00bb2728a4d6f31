import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { createBrokerClientFactory } from '../../../src/kafka/broker-client-factory.js'
import type { CommitConsumerOffsetResult } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { type Castellan, startCastellan } from '../../support/castellan.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

describe('the last commit that was accepted is what stays', () => {
  const stage = onCluster()
  let castellan: Castellan
  let topic: string

  before(async () => {
    castellan = stage.castellan({ connectTimeoutMs: 1_000, router: { callTimeoutMs: 700 } })
    topic = await stage.topic('committed')
  })

  const commit = (groupId: string, offset: number): Promise<CommitConsumerOffsetResult> =>
    askRouter(castellan.router.ref, {
      type: 'commitConsumerOffset',
      groupId,
      topicPartition: { topic, partition: 0 },
      offsetAndMetadata: { offset }
    })

  /** As somebody else sees it, who has no memory of what was asked here. */
  async function stored(groupId: string): Promise<number | string> {
    const other = await startCastellan(stage.bootstrap)
    const topicPartition = { topic, partition: 0 }
    const result = await askRouter(other.router.ref, { type: 'fetchConsumerOffset', groupId, topicPartition })
    await other.close()
    return result.type === 'success' ? result.offsetAndMetadata.offset : result.type
  }

  async function coordinatorOf(groupId: string): Promise<number> {
    const options = { clientId: 'test', requestTimeoutMs: 5_000, connectTimeoutMs: 5_000, log: silentLogger }
    const [host = '', port] = stage.bootstrap.split(',')[0]!.split(':')
    const client = createBrokerClientFactory(options)({ host, port: Number(port) }, 'test')
    const { coordinator } = await client.findCoordinator({ groupId })
    await client.close()
    return coordinator.nodeId
  }

  for (const [name, offsets] of [
    ['rising', [100, 200, 300]],
    ['going back', [300, 200, 100]]
  ] as const) {
    it(`${name} offsets, while the coordinator stands still for longer than a call may take`, async () => {
      const groupId = freshTopic('group')
      expect(await commit(groupId, 1)).to.include({ type: 'success' })
      const nodeId = await coordinatorOf(groupId)
      await stage.cluster.pauseNode(nodeId)
      const results: Promise<CommitConsumerOffsetResult>[] = []
      for (const offset of offsets) {
        results.push(commit(groupId, offset))
        // So that one of them is on its way, one waits for its end, and one comes while it is to be sent again.
        await sleep(400)
      }
      await stage.cluster.resumeNode(nodeId)
      const told = await Promise.all(results)
      const accepted = told.filter(({ type }) => type === 'success').map(result => result.offsetAndMetadata.offset)
      expect(told.map(({ type }) => type)).to.include('success')
      expect(await stored(groupId)).to.equal(accepted.at(-1))
      const last = told.at(-1)!
      if (last.type === 'superseded') expect(last.supersededBy.offset).to.equal(accepted.at(-1))
    })
  }

  it('while the coordinator is killed and comes back', async () => {
    const groupId = freshTopic('group')
    expect(await commit(groupId, 1)).to.include({ type: 'success' })
    const nodeId = await coordinatorOf(groupId)
    const results: Promise<CommitConsumerOffsetResult>[] = []
    const tellSome = async (from: number): Promise<void> => {
      for (let offset = from; offset < from + 20; offset++) {
        results.push(commit(groupId, offset))
        await sleep(5)
      }
    }
    await tellSome(100)
    const killed = stage.cluster.killNode(nodeId)
    await tellSome(200)
    await killed
    await stage.cluster.reviveNode(nodeId)
    await tellSome(300)
    const told = await Promise.all(results)
    expect([...new Set(told.map(({ type }) => type))]).to.have.members(['success', 'superseded'])
    expect(await stored(groupId)).to.equal(319)
  })
})
