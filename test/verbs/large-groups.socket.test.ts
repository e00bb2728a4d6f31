import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { encodeAssignment } from '../../src/kafka/protocol/consumer-protocol.js'
import { GroupInstance } from '../support/group-instance.js'
import { RawKafka } from '../support/raw-kafka.js'
import { joinGroup, syncGroup } from '../support/raw-kafka-group-calls.js'

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at)
const assignmentOf = (topics: ReadonlyMap<string, number>, userData?: Buffer): Buffer =>
  encodeAssignment(
    [...topics].flatMap(([topic, partitions]) => numbers(partitions).map(partition => ({ topic, partition }))),
    userData
  )

describe('who reads a topic, where groups are large', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let client: RawKafka
  let instance: GroupInstance
  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 2 })
    client = await RawKafka.connect(cluster.nodes[0]!)
    instance = await GroupInstance.start(cluster.bootstrap)
  })
  after(async () => {
    await instance.stop()
    client.close()
    await cluster.close()
  })

  async function join(group: string, assignment: Buffer): Promise<void> {
    const { memberId } = await joinGroup(client, group)
    const { generationId } = await joinGroup(client, group, memberId)
    await syncGroup(client, group, generationId, memberId, new Map([[memberId, assignment]]))
  }

  it('is told of one topic without anything being made of the others', async () => {
    const large = assignmentOf(
      new Map([
        ['other', 99_000],
        ['orders', 2]
      ]),
      Buffer.alloc(500_000)
    )
    const groups = numbers(60).map(at => `group-${at}`)
    for (const group of groups) await join(group, large)
    const found = await instance.castellan.verbs.groups.consumers('all', 10_000, { topic: 'orders' })
    expect([...found.keys()].sort()).to.deep.equal(groups.sort())
    for (const readers of found.values()) {
      expect(readers.map(({ partitions }) => [...partitions])).to.deep.equal([[['orders', [0, 1]]]])
    }
    const some = await instance.castellan.verbs.groups.consumers('all', 10_000, {
      includes: group => group.endsWith('-1')
    })
    expect([...some.keys()]).to.deep.equal(['group-1'])
  })
})
