import type { ProduceRecord } from '../../../src/core/model.js'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import { certaintyOf, persistedText } from '../../../src/verbs/persisted.js'
import type { DurableStage } from '../durable-stage.js'

export const toHash = (key: string): string => key.padStart(16, 'k')

/**
 * Sends a request whose key and fingerprint are made of `key`; resolves when it is answered, with what the client is told:
 * the header `x-castellan-persisted`, or why the request was not carried out.
 */
export async function sendWithKey(
  { delivery, keys }: DurableStage,
  key: string,
  values: readonly string[],
  deadlineMs: number
): Promise<string> {
  const claim = await keys.claimWithin({ hash: toHash(key), fingerprint: key.padEnd(8, 'f').slice(0, 8) }, 1_000)
  if (claim.type === 'answered') return claim.answer.body.toString()
  if (claim.type !== 'claimed') return claim.type
  const options: ProduceOptions = { partitioner: 'murmur2', deadlineMs, durability: 'disk' }
  const records = values.map((value): ProduceRecord => ({ topic: 'orders', key: null, value }))
  const pending = claim.key.produce(records, options, delivery)
  const refused = await pending.accepted()
  const outcomes = deadlineMs === 0 ? undefined : await pending.outcomes()
  const certainties = outcomes?.map(certaintyOf) ?? records.map((_, at) => refused?.[at]?.persisted ?? 'pending')
  const persisted = claim.key.told(persistedText(certainties))
  return new Promise(resolve =>
    claim.key.answered({ status: 200, headers: [], body: Buffer.from(persisted) }, persisted, {
      settled: () => resolve(persisted)
    })
  )
}
