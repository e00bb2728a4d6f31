import { expect } from 'chai'
import { onBroker } from '../../support/stage.js'
import { ALL, COMMITTED, topicOfTransactions } from '../../support/transactions-topic.js'

interface Read {
  readonly records: readonly { readonly value: string }[]
  readonly next: Readonly<Record<string, number>>
  readonly at_end: boolean
}

describe('read_messages of a topic with transactions', () => {
  const stage = onBroker()

  for (const level of ['readCommitted', 'readUncommitted'])
    it(`gets to the end over markers, and has the last record, as ${level} asks`, async () => {
      const topic = await topicOfTransactions(stage)
      const app = await stage.app({ 'router.isolationLevel': level, 'apis.mcp.enabled': 'true' })
      const read = async (args: object): Promise<Read> => {
        const params = { name: 'read_messages', arguments: { topic, ...args } }
        const answer = await fetch(`${app.urls.shared}/mcp`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
          body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })
        })
        return ((await answer.json()) as { result: { structuredContent: Read } }).result.structuredContent
      }
      const settled = level === 'readCommitted' ? COMMITTED : ALL.slice(0, -1)
      const all = await read({ from: 'earliest' })
      expect(all.records?.map(({ value }) => value)).to.deep.equal(settled)
      expect(all.at_end).to.equal(true)
      // It ends where the open transaction begins.
      const rest = await read({ offsets: all.next })
      expect(rest).to.deep.include({ records: [], next: all.next, at_end: true })
      const last = await read({ partition: 0, count: 1 })
      expect(last.records?.map(({ value }) => value)).to.deep.equal(['second'])
      expect(last).to.deep.include({ next: all.next, at_end: true })
    })
})
