import { EventEmitter, once } from 'node:events'
import { expect } from 'chai'
import { type Castellan, openCastellan, type Queue } from '../../src/client.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'

describe('queues of a program, and records of transactions', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let writer: Castellan
  const opened: Castellan[] = []
  beforeEach(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('jobs', { partitions: 1 })
    writer = await open()
  })
  afterEach(async () => {
    for (const castellan of opened.splice(0)) await castellan.close()
    await cluster.close()
  })

  const open = async (isolationLevel?: 'readCommitted'): Promise<Castellan> => {
    const castellan = await openCastellan({
      brokers: cluster.bootstrap,
      ...(isolationLevel && { router: { isolationLevel } })
    })
    opened.push(castellan)
    return castellan
  }
  const write = (id: string, value: string, end: () => unknown): Promise<unknown> =>
    writer.transaction(id, async transaction => {
      await transaction.produce({ topic: 'jobs', value })
      await end()
    })
  const valuesOf = async (queue: Queue, count: number): Promise<string[]> => {
    const values: string[] = []
    for (let tries = 0; values.length < count && tries < 20; tries++) {
      const messages = await queue.acquire({ count: 10, start: 'earliest', waitMs: 1_000 })
      for (const message of messages) {
        values.push(String(message.value))
        await message.accept()
      }
    }
    values.push(...(await queue.acquire({ count: 10, waitMs: 500 })).map(({ value }) => String(value)))
    return values
  }

  it('give out those that are committed only, where the program hides others, and all of them where it does not', async () => {
    await write('one', 'committed', () => undefined)
    const aborted = await write('two', 'aborted', () => Promise.reject(new Error('made up'))).catch(
      error => error.message
    )
    expect(aborted).to.equal('made up')
    const events = new EventEmitter()
    const isWritten = once(events, 'written')
    const unfinished = write('three', 'open', async () => {
      const ends = once(events, 'ends')
      events.emit('written')
      await ends
    })
    await isWritten
    const hiding = await open('readCommitted')
    const hidden = hiding.queue({ topic: 'jobs', group: 'hiding' })
    expect(await valuesOf(hidden, 1)).to.deep.equal(['committed'])
    const all = writer.queue({ topic: 'jobs', group: 'showing' })
    expect(await valuesOf(all, 3)).to.deep.equal(['committed', 'aborted', 'open'])
    events.emit('ends')
    await unfinished
    expect(await valuesOf(hidden, 1)).to.deep.equal(['open'])
  })
})
