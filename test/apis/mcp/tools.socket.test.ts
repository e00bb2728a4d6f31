import { expect } from 'chai'
import { CALLS, type Called, McpGateway, REVISIONS } from './stage.js'

const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list' }

describe('the tools of POST /mcp', () => {
  let gateway: McpGateway
  before(async () => {
    gateway = await McpGateway.open()
    for (const topic of ['a', 'orders', 'z']) gateway.cluster.createTopic(topic, { partitions: 2 })
    await gateway.write('orders', [{ key: 'k1', value: 'one' }, { key: 'k2', value: 'two' }, { value: 'three' }])
    const body = '[{"partition":0,"offset":1},{"partition":1,"offset":0}]'
    const path = `${gateway.app.urls.shared}/pixy/topics/orders/offsets?group=billing`
    expect((await fetch(path, { method: 'POST', body })).status).to.equal(200)
  })
  after(() => gateway.close())

  const resultOf = async (name: string, args: object = CALLS[name]!): Promise<Called['structuredContent']> => {
    const { isError, structuredContent, content } = await gateway.call(name, args)
    expect(isError, content[0]?.text).to.equal(undefined)
    expect(JSON.parse(content[0]!.text)).to.deep.equal(structuredContent)
    return structuredContent
  }

  for (const revision of REVISIONS)
    it(`are listed and called by the official client, in ${revision}`, async () => {
      const client = await gateway.client(revision)
      try {
        const { tools } = await client.listTools()
        expect(tools.map(({ name }) => name)).to.deep.equal(Object.keys(CALLS))
        for (const { name } of tools) {
          const { isError, structuredContent } = await client.callTool({ name, arguments: CALLS[name]! })
          const code = (structuredContent as { error?: string }).error
          expect([name, isError ?? false, code]).to.deep.equal(
            name === 'get_schema' ? [name, true, 'noRegistry'] : [name, false, undefined]
          )
        }
      } finally {
        await client.close()
      }
    })

  it('take at most 12 KB of a context, and have no words of strangers in it', async () => {
    const { text } = await gateway.post(LIST)
    expect(Buffer.byteLength(text)).to.be.below(12_000)
    expect(text).not.to.include('orders')
  })

  it('list topics page by page', async () => {
    expect(await resultOf('list_topics', { prefix: 'o' })).to.deep.equal({
      topics: [{ topic: 'orders', partitions: 2, replicas: 1 }]
    })
    const { topics } = (await resultOf('list_topics', { cursor: 'orders' })) as { topics: { topic: string }[] }
    expect(topics.map(({ topic }) => topic)).to.deep.equal(['z'])
  })

  it('describe a topic', async () => {
    const { partitions, ...rest } = (await resultOf('describe_topic')) as { partitions: object[] }
    expect(rest).to.deep.equal({ topic: 'orders', internal: false, settings: [], partition_count: 2 })
    expect(partitions[0]).to.deep.include({ partition: 0, first_offset: 0, next_offset: 3 })
    expect(partitions[1]).to.deep.include({ partition: 1, first_offset: 0, next_offset: 0 })
  })

  it('find a record by its key, and say that there is none', async () => {
    const found = (await resultOf('find_record')) as { verdict: string; records: { offset: number }[] }
    expect([found.verdict, found.records.map(({ offset }) => offset)]).to.deep.equal(['yes', [0]])
    expect(await resultOf('find_record', { topic: 'orders', key: 'k7' })).to.include({ verdict: 'no' })
  })

  it('list groups, and tell how far one is behind', async () => {
    const { groups } = (await resultOf('list_groups')) as { groups: object[] }
    expect(groups).to.deep.equal([{ group: 'billing', state: 'Empty', type: 'classic', members: 0, topics: [] }])
    expect(await resultOf('list_groups', { kind: 'queue' })).to.deep.equal({ groups: [] })
    expect(await resultOf('group_lag')).to.deep.equal({
      group: 'billing',
      topics: [{ topic: 'orders', lag: 2, partitions: 2 }]
    })
    const lag = await resultOf('group_lag', { group: 'billing', topic: 'orders' })
    expect(lag).to.deep.include({ lag: 2, partition_count: 2, without_offset: 0 })
    expect((lag.partitions as object[])[0]).to.deep.equal({
      partition: 0,
      committed: 1,
      first_offset: 0,
      next_offset: 3,
      lag: 2
    })
  })

  it('tell of a queue', async () => {
    expect(await resultOf('queue_status')).to.deep.include({ state: 'absent', member_count: 0, lag: null })
    const acquire = `${gateway.app.urls.shared}/queues/orders/workers/acquire`
    const answer = await fetch(acquire, { method: 'POST', body: '{"start":"earliest","waitMs":5000}' })
    expect(answer.status).to.equal(200)
    expect(await resultOf('queue_status')).to.deep.include({ state: 'Stable', member_count: 1 })
    const { groups } = (await resultOf('list_groups', { kind: 'queue' })) as { groups: { group: string }[] }
    expect(groups.map(({ group }) => group)).to.deep.equal(['workers'])
  })

  it('tell of no problem where there is none', async () => {
    expect(await resultOf('list_problems')).to.deep.equal({ problems: [] })
  })

  it('count their calls by tool and outcome', async () => {
    await gateway.call('read_messages', { topic: 'nowhere' })
    const metrics = await (await fetch(`${gateway.app.urls.management}/metrics`)).text()
    expect(metrics).to.match(
      /^castellan_mcp_calls_total\{outcome="ok",tool="find_record"\} \d+$|^castellan_mcp_calls_total\{tool="find_record",outcome="ok"\} \d+$/m
    )
    expect(metrics).to.include('unknownTopic')
    expect(metrics).to.match(/^castellan_http_requests_total\{.*api="mcp".*\} \d+$/m)
  })
})
