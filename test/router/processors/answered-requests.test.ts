import { expect } from 'chai'
import { type OpenRequest, reply } from '../../../src/router/requests/open-requests.js'
import { collectGarbage } from '../../support/held-bytes.js'
import { turns } from '../../support/ticks.js'
import { FetchHarness, T16 } from './fetch-stage.js'

/** Read at its end. */
const IDLE = { topic: 'idle', partition: 0 }

/** Two requests of clients that left. @returns what these clients held */
function answered(harness: FetchHarness, topicPartition: typeof IDLE): WeakRef<object>[] {
  return [1, 2].map(() => {
    const collected = { records: Buffer.alloc(1_000) }
    const request = { topicPartition, offset: 50, isWanted: () => collected.records.length === 0, maxWaitMs: 60_000 }
    const accepted = harness.accept('fetchData', request)
    harness.fetch.addToQueue(accepted)
    reply(accepted as OpenRequest<'fetchData'>, { type: 'timedOut' })
    return new WeakRef(collected)
  })
}

describe('requests that were answered at their deadline hold nothing of those who asked', () => {
  const places: Readonly<Record<string, (harness: FetchHarness) => WeakRef<object>[]>> = {
    'while they are queued': harness => answered(harness, T16),
    'beside a call in flight for their offset': harness => {
      harness.ask(50)
      harness.issue()
      return answered(harness, T16)
    },
    'beside a long poll that no further one follows': harness => {
      harness.ask(50, IDLE, [], 60_000)
      harness.answer(harness.issue(), { 'idle/0@50': { highWatermark: 50 } })
      harness.issue('tail')
      return answered(harness, IDLE)
    }
  }
  for (const [where, stage] of Object.entries(places))
    it(where, async () => {
      const harness = new FetchHarness(100)
      const held = stage(harness)
      // What a weak reference points to is kept until the turn in which that was made is over.
      await turns(2)
      collectGarbage()
      expect(held.filter(one => one.deref() !== undefined)).to.deep.equal([])
      expect(harness.openRequests.accepted).to.be.at.least(2)
    })
})
