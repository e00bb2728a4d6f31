import { expect } from 'chai'
import type { RecordOutcome } from '../../../src/core/model.js'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import type { LocalKeys } from '../../../src/producer/keys/local-keys.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { placesOf } from '../../../src/producer/receipts/receipts.js'
import { localKeys } from '../../support/local-keys.js'
import { toHash } from './send-with-key.js'

const options = { partitioner: 'crc32', deadlineMs: 10, durability: 'memory' } as const
const unknown = failures.timedOut('kafka has not acknowledged it', 'unknown')
const answer = { status: 500, headers: [], body: Buffer.alloc(0) }

describe('a request with a key of whose records an API refuses some, and others when it comes again', () => {
  const values = ['one', 'two', 'three']
  let keys: LocalKeys
  let written: string[]

  beforeEach(() => {
    written = []
    keys = localKeys()
  })

  const claim = async (): Promise<ClaimedKey> => {
    const claimed = await keys.claim({ hash: toHash('key'), fingerprint: 'f'.padEnd(8) })
    if (claimed.type !== 'claimed') throw new Error(claimed.type)
    return claimed.key
  }
  /** Sends the records that are not refused. @returns what is known of them */
  const send = (key: ClaimedKey, refused: readonly string[]): Promise<readonly RecordOutcome[]> => {
    const sent = values.filter(value => !refused.includes(value)).map(value => ({ topic: 't', key: null, value }))
    const places = refused.length === 0 ? undefined : placesOf(3, index => refused.includes(values[index]!))
    const accept = (records: readonly { value: unknown }[]) => {
      written.push(...records.map(({ value }) => String(value)))
      const outcomes = records.map(() => unknown)
      return { refused: undefined, accepted: async () => undefined, outcomes: async () => outcomes }
    }
    return key.produce(sent, options, { accept }, undefined, undefined, places).outcomes()
  }
  const settle = (key: ClaimedKey, persisted: string): void =>
    key.answered(answer, persisted, { settled: () => undefined })

  it('writes each record once, in whichever request it is taken', async () => {
    const first = await claim()
    await send(first, ['one'])
    settle(first, 'nuu')
    const second = await claim()
    await send(second, [])
    settle(second, 'unknown')
    await send(await claim(), ['two'])
    expect(written).to.deep.equal(['two', 'three', 'one'])
  })

  it('has the outcomes of the records that it sends', async () => {
    const first = await claim()
    await send(first, [])
    settle(first, 'unknown')
    const delivered = (offset: number) => ({ type: 'delivered', partition: 0, offset, timestampMs: 1 }) as const
    for (const index of [0, 1, 2]) keys.find(toHash('key'))!.conclude(index, delivered(index))
    expect(await send(await claim(), ['one'])).to.deep.equal([delivered(1), delivered(2)])
  })

  it('is not told that a record is missing which was sent before, and is answered again', async () => {
    const first = await claim()
    await send(first, ['three'])
    settle(first, 'uun')
    const second = await claim()
    await send(second, ['one', 'three'])
    expect(second.told('nun')).to.equal('uun')
    settle(second, 'nyn')
    await claim()
  })

  it('is told so of a record that Kafka has refused', async () => {
    const first = await claim()
    await send(first, [])
    keys.find(toHash('key'))!.conclude(1, failures.timedOut('it was never sent', 'no'))
    settle(first, 'unu')
    expect((await claim()).told('yny')).to.equal('yny')
  })
})
