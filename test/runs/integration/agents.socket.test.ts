import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { peerSettings } from '../../support/peer-address.js'
import { onCluster } from '../../support/stage.js'
import { ALL, COMMITTED, topicOfTransactions } from '../../support/transactions-topic.js'

interface Result {
  readonly isError?: boolean
  readonly structuredContent: Readonly<Record<string, unknown>>
}

describe('agents, over a cluster', function () {
  this.timeout(120_000)
  const stage = onCluster()

  const call = async (app: App, name: string, args: object): Promise<Result> => {
    const answer = await fetch(`${app.urls.shared}/mcp`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } })
    })
    return ((await answer.json()) as { result: Result }).result
  }
  const told = async (app: App, name: string, args: object = {}): Promise<Record<string, unknown>> => {
    const { isError, structuredContent } = await call(app, name, args)
    expect(isError, `${name}: ${JSON.stringify(structuredContent)}`).to.equal(undefined)
    return structuredContent
  }
  const rowsOf = (result: Record<string, unknown>, list: string) => result[list] as Record<string, unknown>[]

  it('see topics, records and groups, and write', async () => {
    const topic = await stage.topic()
    const app = await stage.app({ 'apis.mcp.enabled': 'true', 'apis.mcp.write': 'true' })
    const value = 'a\u0000ü😀'
    const headers = [
      { name: 'text', value: 't' },
      { name: 'binary', value: '/w==', value_encoding: 'base64' }
    ]
    const written = await told(app, 'produce_message', { topic, key: 'k', value, headers, partition: 0 })
    expect(written).to.include({ persisted: 'yes', partition: 0, offset: 0 })
    await told(app, 'produce_message', { topic, key: 'k', value: null, partition: 0 })
    const url = `${app.urls.shared}/pixy/topics/${topic}/offsets?group=${topic}`
    expect((await fetch(url, { method: 'POST', body: '[{"partition":0,"offset":1}]' })).status).to.equal(200)

    const listed = rowsOf(await told(app, 'list_topics', { prefix: topic }), 'topics')
    expect(listed.map(row => row.topic)).to.deep.equal([topic])
    const [first] = rowsOf(await told(app, 'describe_topic', { topic }), 'partitions')
    expect(first).to.deep.include({ partition: 0, first_offset: 0, next_offset: 2 })
    const read = await told(app, 'read_messages', { topic, partition: 0 })
    expect(rowsOf(read, 'records').map(({ key, value, headers }) => [key, value, headers])).to.deep.equal([
      ['k', 'a\\u0000ü😀', headers],
      ['k', null, undefined]
    ])
    const found = await told(app, 'find_record', { topic, key: 'k' })
    expect([found.verdict, rowsOf(found, 'records').length]).to.deep.equal(['yes', 2])
    expect(await told(app, 'group_lag', { group: topic, topic })).to.deep.include({ lag: 1 })
    expect(rowsOf(await told(app, 'group_lag', { group: topic }), 'topics')).to.deep.equal([
      { topic, lag: 1, partitions: 1 }
    ])
    const groups: unknown[] = []
    for (let cursor: unknown; ; ) {
      const page = await told(app, 'list_groups', cursor === undefined ? {} : { cursor })
      groups.push(...rowsOf(page, 'groups').map(({ group }) => group))
      cursor = page.next
      if (cursor === undefined) break
    }
    expect(groups).to.include(topic)
    expect((await told(app, 'queue_status', { topic, group: `no-${topic}` })).state).to.be.a('string')
    expect(await told(app, 'list_problems')).to.have.property('problems')
    expect((await call(app, 'get_schema', { topic })).structuredContent.error).to.equal('noRegistry')
    expect((await call(app, 'read_messages', { topic: `no-${topic}` })).structuredContent.error).to.equal(
      'unknownTopic'
    )
  })

  for (const level of ['readCommitted', 'readUncommitted'])
    it(`get to the ends of logs with transactions, and to their last record, as ${level} asks`, async () => {
      const topic = await topicOfTransactions(stage)
      const app = await stage.app({ 'router.isolationLevel': level, 'apis.mcp.enabled': 'true' })
      const settled = level === 'readCommitted' ? COMMITTED : ALL.slice(0, -1)
      const values = (result: Record<string, unknown>) => rowsOf(result, 'records').map(({ value }) => value)
      const read = (args: object) => told(app, 'read_messages', { topic, partition: 0, ...args })
      let all = await read({ from: 'earliest' })
      const giveUpAt = performance.now() + 30_000
      // Brokers may write markers after a transaction has ended.
      while (values(all).length < settled.length && performance.now() < giveUpAt) all = await read({ from: 'earliest' })
      expect(values(all)).to.deep.equal(settled)
      expect(all.at_end).to.equal(true)
      expect(await read({ offsets: all.next })).to.deep.include({ records: [], next: all.next, at_end: true })
      expect(values(await read({ count: 1 }))).to.deep.equal(['second'])
    })

  it('write once for a key at whichever of two gateways, and get one answer', async () => {
    const topic = await stage.topic()
    const addresses = await stage.peers()
    const settings = { 'apis.mcp.enabled': 'true', 'apis.mcp.write': 'true', ...peerSettings(addresses) }
    const apps = [await stage.app(settings), await stage.app(settings)] as const
    for (const [nth, app] of apps.entries()) addresses[nth]!.target = app.peersAddress
    const keys = Array.from({ length: 6 }, () => randomUUID())
    /** Gateways that have just been started find each other: an agent calls again then. */
    const write = async (app: App, key: string): Promise<Record<string, unknown>> => {
      for (const giveUpAt = performance.now() + 60_000; ; ) {
        const { structuredContent } = await call(app, 'produce_message', { topic, value: key, idempotency_key: key })
        if (structuredContent.persisted === 'yes' || performance.now() > giveUpAt) return structuredContent
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    }
    for (const key of keys) {
      const answers = await Promise.all([...apps, ...apps].map(app => write(app, key)))
      expect(answers[0]).to.include({ persisted: 'yes' })
      for (const answer of answers) expect(answer).to.deep.equal(answers[0])
    }
    const read = await told(apps[0], 'read_messages', { topic, from: 'earliest', count: 100 })
    expect(
      rowsOf(read, 'records')
        .map(({ value }) => value)
        .sort()
    ).to.deep.equal([...keys].sort())
  })
})
