import { expect } from 'chai'
import { newNumbering } from '../../../src/producer/memory/numbering.js'
import { PartitionSearch } from '../../../src/producer/memory/partition-search.js'

const MINUTE_MS = 60_000

describe('delivery: the patience of a partition that looks for its batch', () => {
  for (const [what, queuedMs, found] of [
    ['is over after a minute in which it was looked for', 0, 'unknown'],
    ['does not run while the searches of others hold it up', MINUTE_MS, 'later']
  ] as const) {
    it(what, async () => {
      let nowMs = 0
      const search = new PartitionSearch(
        { topic: 'orders', partition: 3 },
        {
          now: () => 0,
          mayBeForgotten: () => true,
          sentUnknown: () => undefined,
          find: async () => {
            nowMs += MINUTE_MS
            return { type: 'later', from: 0, reason: 'no answer', queuedMs }
          }
        },
        () => nowMs
      )
      search.begin(0, newNumbering(7n, 0))
      expect(await search.look({ recordCount: 1, newestMs: 0 })).to.include({ type: found })
    })
  }
})
