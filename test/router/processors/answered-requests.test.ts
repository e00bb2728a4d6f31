import { expect } from 'chai'
import { type OpenRequest, reply } from '../../../src/router/requests/open-requests.js'
import { collectGarbage } from '../../support/held-bytes.js'
import { turns } from '../../support/ticks.js'
import { FetchStage, T16 } from './fetch-stage.js'

/** Read at its end. */
const IDLE = { topic: 'idle', partition: 0 }

/** Two requests of clients that left. @returns what these clients held */
function answered(stage: FetchStage, topicPartition: typeof IDLE): WeakRef<object>[] {
  return [1, 2].map(() => {
    const collected = { records: Buffer.alloc(1_000) }
    const request = { topicPartition, offset: 50, isWanted: () => collected.records.length === 0, maxWaitMs: 60_000 }
    const accepted = stage.accept('fetchData', request)
    stage.fetch.addToQueue(accepted)
    reply(accepted as OpenRequest<'fetchData'>, { type: 'timedOut' })
    return new WeakRef(collected)
  })
}

describe('requests that were answered at their deadline hold nothing of those who asked', () => {
  const places: Readonly<Record<string, (stage: FetchStage) => WeakRef<object>[]>> = {
    'while they are queued': stage => answered(stage, T16),
    'beside a call in flight for their offset': stage => {
      stage.ask(50)
      stage.issue()
      return answered(stage, T16)
    },
    'beside a long poll that no further one follows': stage => {
      stage.ask(50, IDLE, [], 60_000)
      stage.answer(stage.issue(), { 'idle/0@50': { highWatermark: 50 } })
      stage.issue('tail')
      return answered(stage, IDLE)
    }
  }
  for (const [where, place] of Object.entries(places))
    it(where, async () => {
      const stage = new FetchStage(100)
      const held = place(stage)
      // What a weak reference points to is kept until the turn in which that was made is over.
      await turns(2)
      collectGarbage()
      expect(held.filter(one => one.deref() !== undefined)).to.deep.equal([])
      expect(stage.openRequests.accepted).to.be.at.least(2)
    })
})
