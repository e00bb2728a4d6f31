import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onTargetCluster } from '../../support/castellan.js'
import { TestShareMember } from '../../support/share-session.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'

describe('share groups over HTTP', function () {
  this.timeout(120_000)
  const on = onTargetCluster()
  let app: App
  let topic: string
  let group: string
  let clusterId: string
  before(async () => {
    app = await startTestApp(on.cluster.bootstrap, { 'apis.confluent.port': '0' })
    clusterId = JSON.parse((await ask('GET', `${app.urls.shared}/confluent/v3/clusters`)).body).data[0].cluster_id
  })
  after(() => app?.stop())
  beforeEach(async () => {
    topic = freshTopic('jobs')
    group = freshTopic('workers')
    await on.cluster.createTopic(topic, 2)
  })

  async function ask(method: string, url: string, body?: object) {
    const answer = await fetch(url, { method, ...(body && { body: JSON.stringify(body) }) })
    return { status: answer.status, body: await answer.text() }
  }
  const queues = (path: string): string => `${app.urls.shared}/queues${path}`
  const v3 = (path: string): string => `${app.urls.apis.get('confluent')}/v3/clusters/${clusterId}/share-groups${path}`
  const json = async (url: string) => {
    const { status, body } = await ask('GET', url)
    expect([url, status]).to.deep.equal([url, 200])
    return JSON.parse(body)
  }

  it('are listed, described, moved and deleted, each while it may be', async () => {
    const records = ['a', 'b', 'c'].map(value => ({ topic, partition: 0, key: null, value }))
    await on.castellan.produce(records)
    const member = new TestShareMember(on.castellan.router.ref, group)
    await member.join(topic)
    const [found] = (await json(v3(''))).data.filter((one: Record<string, unknown>) => one.share_group_id === group)
    expect(found).to.include({ state: 'STABLE', consumer_count: 1, partition_count: 2 })
    expect(await json(v3(`/${group}`))).to.deep.equal(found)
    const { data } = await json(v3(`/${group}/consumers`))
    expect(data.map((one: Record<string, unknown>) => one.consumer_id)).to.deep.equal([member.memberId])
    const assigned = await json(v3(`/${group}/consumers/${member.memberId}/assignments`))
    expect(assigned.data.map((one: Record<string, unknown>) => one.partition_id)).to.have.members([0, 1])
    const reset = (to: unknown, dryRun = false) => ask('POST', queues(`/${topic}/${group}/reset`), { to, dryRun })
    for (const refused of [
      await reset('latest'),
      await ask('DELETE', queues(`/${topic}/${group}`)),
      await ask('DELETE', v3(`/${group}`))
    ])
      expect([refused.status, refused.body], refused.body).to.deep.include(409)
    expect((await reset('latest', true)).status).to.equal(200)
    await member.leave()
    const after = group.slice(0, -1)
    const { groups } = await json(queues(`?after=${after}`))
    expect(groups[0]).to.deep.equal({
      group,
      state: 'Empty',
      members: 0,
      topics: groups[0].topics,
      topicCount: groups[0].topicCount
    })
    expect((await reset({ 0: 1 })).status).to.equal(200)
    expect((await json(queues(`?after=${after}`))).groups[0].topics).to.deep.equal([topic])
    expect((await reset({ 0: 9 })).body).to.include(`${topic}/0 has no offset 9: they are from 0 to 3`)
    const acquired = await ask('POST', queues(`/${topic}/${group}/acquire`), {
      count: 5,
      encoding: 'text',
      waitMs: 20_000
    })
    const { messages } = JSON.parse(acquired.body)
    expect(messages.map((one: Record<string, unknown>) => one.value)).to.deep.equal(['b', 'c'])
    expect((await reset('latest')).body, 'the gateway is a member').to.include('gateways leave 30 s after')
    const accept = messages.map((one: Record<string, unknown>) => one.token)
    expect((await ask('POST', queues(`/${topic}/${group}/settle`), { accept })).status).to.equal(200)
  })

  it('are forgotten topic by topic, and no group of another kind is touched', async () => {
    const other = freshTopic('other')
    await on.cluster.createTopic(other, 1)
    for (const joined of [topic, other]) {
      const member = new TestShareMember(on.castellan.router.ref, group)
      await member.join(joined)
      await member.leave()
    }
    expect((await ask('DELETE', queues(`/${topic}/${group}`))).status).to.equal(204)
    expect((await ask('DELETE', queues(`/${topic}/${group}`))).status, 'no state of the topic').to.equal(404)
    expect((await ask('DELETE', v3(`/${group}`))).status).to.equal(204)
    expect((await ask('DELETE', v3(`/${group}`))).status).to.equal(404)
    const verbs = on.castellan.verbs
    await verbs.groups.commit(group, topic, new Map([[0, { offset: 0 }]]), 20_000)
    expect((await ask('DELETE', v3(`/${group}`))).status).to.equal(404)
    expect((await ask('DELETE', queues(`/${topic}/${group}`))).status).to.equal(404)
    expect((await ask('POST', queues(`/${topic}/${group}/reset`), { to: 'latest' })).status).to.equal(404)
    expect(await verbs.groups.committed(group, 20_000)).to.have.length(1)
  })
})
