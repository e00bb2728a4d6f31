import { expect } from 'chai'
import { A, CastleRouter, Inbox, metaGood } from '../../support/castle-router.js'
import {
  coordinatorReply,
  listOffsetsReply,
  metadataOf,
  offsetFetchReply,
  ScriptedCluster
} from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

describe('an answer is never older than its request', () => {
  let cluster: ScriptedCluster
  let castle: CastleRouter
  beforeEach(() => {
    cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'findCoordinator', coordinatorReply(cluster, 1))
    castle = new CastleRouter(cluster)
  })
  afterEach(() => castle.stop())

  it('the latest offset does not join a call on its way: records may have been acknowledged since', async () => {
    cluster
      .on(1, 'listOffsets', 1, listOffsetsReply(cluster, -1, 0, 10))
      .on(1, 'listOffsets', 2, listOffsetsReply(cluster, -1, 0, 11))
    const held = cluster.hold(1, 'listOffsets', 1)
    const inbox = new Inbox<'fetchOffset'>()
    const ask = () => castle.tell(inbox, { type: 'fetchOffset', topicPartition: A, offsetType: 'latest' })
    ask()
    await held.arrived
    // A record is acknowledged now.
    ask()
    ask()
    await turns(5)
    held.release()
    const results = await inbox.take(3)
    expect(results.map(result => result.type === 'success' && result.offset)).to.deep.equal([10, 11, 11])
    expect(cluster.countOf(1, 'listOffsets'), 'those that wait together share a call').to.equal(2)
  })

  it('a look at a committed offset does not join a call on its way: a commit may have been accepted since', async () => {
    cluster.on(1, 'offsetFetch', 1, offsetFetchReply(0, 10)).on(1, 'offsetFetch', 2, offsetFetchReply(0, 11))
    const held = cluster.hold(1, 'offsetFetch', 1)
    const inbox = new Inbox<'fetchConsumerOffset'>()
    const ask = () => castle.tell(inbox, { type: 'fetchConsumerOffset', groupId: 'g', topicPartition: A })
    ask()
    await held.arrived
    ask()
    await turns(5)
    held.release()
    const results = await inbox.take(2)
    expect(results.map(result => result.type === 'success' && result.offsetAndMetadata.offset)).to.deep.equal([10, 11])
  })

  it('metadata does not join a call on its way: a topic may have been created since', async () => {
    await castle.ask({ type: 'fetchTopicMetadata', requestId: 0 })
    const before = cluster.countOf(0, 'metadata')
    cluster.on(0, 'metadata', before + 2, () => metadataOf(cluster.nodes, { perf: {}, created: {} }))
    const held = cluster.hold(0, 'metadata', before + 1)
    const inbox = new Inbox<'fetchTopicMetadata'>()
    castle.tell(inbox, { type: 'fetchTopicMetadata', requestId: 1 })
    await held.arrived
    castle.tell(inbox, { type: 'fetchTopicMetadata', requestId: 2 })
    await turns(5)
    held.release()
    const results = await inbox.take(2)
    const seen = results.map(result => result.type === 'success' && result.topics.has('created'))
    expect(seen).to.deep.equal([false, true])
  })
})
