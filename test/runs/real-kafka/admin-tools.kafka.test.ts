import { writeFileSync } from 'node:fs'
import { expect } from 'chai'
import { freshTopic } from '../../support/target-cluster.js'
import { runTool } from './java-tools.js'
import { kcatConsume, kcatProduce } from './kcat.js'
import { runningKafka } from './shared-cluster.js'

describe('the real cluster of the tests', () => {
  it('moves a leader by the admin tools, and by the shell that stands in for them', async () => {
    const cluster = runningKafka()
    const topic = freshTopic('moved')
    await cluster.createTopic(topic, 1)
    const before = (await cluster.partitions(topic))[0]!
    const [byTools, byShell] = before.replicas.filter(nodeId => nodeId !== before.leaderId) as [number, number]

    const replicas = [byTools, ...before.replicas.filter(nodeId => nodeId !== byTools)]
    const plan = cluster.workspace.path(`${topic}.json`)
    writeFileSync(plan, JSON.stringify({ version: 1, partitions: [{ topic, partition: 0, replicas }] }))
    const bootstrap = ['--bootstrap-server', cluster.bootstrap]
    await runTool('reassignPartitions', [...bootstrap, '--reassignment-json-file', plan, '--execute'])
    const election = ['--election-type', 'preferred', '--topic', topic, '--partition', '0']
    await runTool('leaderElection', [...bootstrap, ...election])
    await cluster.waitFor(`the leader that the tools chose, ${byTools}`, async () => {
      return (await cluster.partitions(topic))[0]?.leaderId === byTools
    })

    await cluster.moveLeader(topic, 0, byShell)
    expect(await runTool('topics', [...bootstrap, '--describe', '--topic', topic])).to.match(
      new RegExp(`Leader: ${byShell}\\b`)
    )
  })

  it('comes back after a node was killed, paused and stopped', async () => {
    const cluster = runningKafka()
    const topic = freshTopic('restarted')
    await cluster.createTopic(topic, 1)
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGSTOP'] as const) {
      const { leaderId } = (await cluster.partitions(topic))[0]!
      await cluster.signal(leaderId, signal)
      await cluster.waitFor('another leader', async () => {
        const now = (await cluster.partitions(topic))[0]!.leaderId
        return now > 0 && now !== leaderId
      })
      await kcatProduce(cluster.bootstrap, topic, [{ key: signal, value: 'written without it' }], '-X', 'acks=all')
      if (signal === 'SIGSTOP') await cluster.signal(leaderId, 'SIGCONT')
      else cluster.startNode(leaderId)
      await cluster.healed(topic)
    }
    const keys = (await kcatConsume(cluster.bootstrap, topic)).map(record => record.key?.toString())
    expect(keys).to.deep.equal(['SIGKILL', 'SIGTERM', 'SIGSTOP'])
  })
})
