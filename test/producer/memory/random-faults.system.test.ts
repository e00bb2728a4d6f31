import { expect } from 'chai'
import fc from 'fast-check'
import type { RecordOutcome } from '../../../src/core/model.js'
import type { DeliverySettings } from '../../../src/producer/memory/settings.js'
import { DeliveryHarness, record, type Sent } from '../../support/delivery-harness.js'
import type { Script } from '../../support/fake-router.js'

const PARTITIONS = 2
const TOPIC = 'orders'

type Move =
  | { readonly type: 'send'; readonly partitions: readonly number[]; readonly deadlineMs: number }
  | { readonly type: 'pass'; readonly milliseconds: number }
  | { readonly type: 'fault'; readonly partition: number; readonly script: Script; readonly times: number }
  | { readonly type: 'release' }
  | { readonly type: 'away'; readonly isAway: boolean }

const partition = fc.nat(PARTITIONS - 1)
const code = fc.constantFrom(3, 5, 6, 7, 14, 19, 20, 56, 74, 75, -1, 2, 777)
const leavingUnknown = fc.constantFrom(6, 7, 20, 56, -1, 777)

/** Faults under which Kafka remembers, so that nothing may be written twice. */
const honest: fc.Arbitrary<Script> = fc.oneof(
  fc.record({ type: fc.constant('reject' as const), errorCode: code }),
  fc.record({ type: fc.constant('appendThenReject' as const), errorCode: leavingUnknown }),
  fc.constant<Script>({ type: 'loseRequest' }),
  fc.constant<Script>({ type: 'loseResponse' }),
  fc.constant<Script>({ type: 'hold' }),
  fc.record({
    type: fc.constant('notSent' as const),
    reason: fc.constantFrom('noLeader' as const, 'brokerUnreachable' as const, 'overloaded' as const)
  })
)
/** Faults under which it forgets or contradicts itself: twice is allowed then, never, misplaced and unsent are not. */
const forgetful: fc.Arbitrary<Script> = fc.oneof(
  honest,
  fc.constant<Script>({ type: 'forgetThenAppend' }),
  fc.record({ type: fc.constant('reject' as const), errorCode: fc.constantFrom(45, 47, 59, 10, 87, 29) })
)

const movesWith = (script: fc.Arbitrary<Script>): fc.Arbitrary<Move[]> =>
  fc.array(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          type: fc.constant('send' as const),
          partitions: fc.oneof(
            { weight: 3, arbitrary: fc.tuple(partition) },
            fc.array(partition, { minLength: 1, maxLength: 6 })
          ),
          deadlineMs: fc.constantFrom(50, 300, 2_000, 60_000)
        })
      },
      { weight: 4, arbitrary: fc.record({ type: fc.constant('pass' as const), milliseconds: fc.nat(400) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constant('fault' as const),
          partition,
          script,
          times: fc.constantFrom(1, 1, 2, 6)
        })
      },
      { weight: 1, arbitrary: fc.constant<Move>({ type: 'release' }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('away' as const), isAway: fc.boolean() }) }
    ),
    { minLength: 3, maxLength: 40 }
  )

interface History {
  readonly sent: readonly { readonly id: string; readonly partition: number; readonly outcome: RecordOutcome }[]
  readonly logs: readonly (readonly string[])[]
}

/** Plays the moves, heals, and waits until all is said. */
async function play(moves: readonly Move[], settings: Partial<DeliverySettings> = {}): Promise<History> {
  const harness = new DeliveryHarness({ [TOPIC]: PARTITIONS }, settings)
  try {
    const requests: { readonly ids: readonly string[]; readonly partitions: readonly number[]; readonly sent: Sent }[] =
      []
    let ids = 0
    const send = (partitions: readonly number[], deadlineMs: number) => {
      const names = partitions.map(() => `${ids++}`)
      const records = partitions.map((target, at) => record(TOPIC, names[at]!, target))
      requests.push({ ids: names, partitions, sent: harness.send(records, deadlineMs) })
    }
    for (const move of moves) {
      if (move.type === 'pass') await harness.pass(move.milliseconds)
      else if (move.type === 'fault')
        harness.router.partition(TOPIC, move.partition).script.push(...Array(move.times).fill(move.script))
      else if (move.type === 'release') harness.router.release()
      else if (move.type === 'away') harness.router.isAway = move.isAway
      else if (move.type === 'send') send(move.partitions, move.deadlineMs)
    }
    harness.router.isAway = false
    for (const one of harness.router.topics.get(TOPIC)!) one.script.length = 0
    harness.router.release()
    await harness.pass(200_000)
    for (const target of [0, 1]) send([target], 1_000)
    await harness.pass(2_000)
    expect(requests.slice(-2).map(({ sent }) => sent.outcomes?.[0]?.type)).to.deep.equal(['delivered', 'delivered'])
    expect(harness.delivery.stats()).to.include({ bufferedRecords: 0, bufferedBytes: 0 })
    return {
      sent: requests.flatMap(({ ids: names, partitions, sent }) =>
        names.map((id, at) => ({ id, partition: partitions[at]!, outcome: sent.outcomes![at]! }))
      ),
      logs: harness.router.topics.get(TOPIC)!.map(one => one.values as string[])
    }
  } finally {
    harness.restore()
  }
}

function check({ sent, logs }: History, mayRepeat: boolean): void {
  for (const { id, partition: target, outcome } of sent) {
    const times = logs[target]!.filter(value => value === id).length
    if (outcome.type === 'delivered') {
      expect(times, `lost: ${id}`).to.be.greaterThan(0)
      if (outcome.offset >= 0) expect(logs[target]![outcome.offset], `not where it is said to be: ${id}`).to.equal(id)
    } else if (outcome.persisted === 'no') {
      expect(times, `ghost: ${id}`).to.equal(0)
    }
    if (!mayRepeat) expect(times, `twice: ${id}`).to.be.lessThan(2)
  }
  const known = new Set(sent.map(({ id }) => id))
  for (const log of logs) {
    expect(
      log.filter(value => !known.has(value)),
      'invented'
    ).to.deep.equal([])
    const firsts = [...new Set(log)].map(Number)
    expect(firsts, 'reordered').to.deep.equal([...firsts].sort((a, b) => a - b))
  }
}

describe('delivery under random faults', function () {
  this.timeout(180_000)

  it('loses, repeats, reorders and invents nothing, and what it says is not written is not', async () => {
    await fc.assert(
      fc.asyncProperty(movesWith(honest), async moves => check(await play(moves), false)),
      { numRuns: 300 }
    )
  })

  it('keeps to that when batches are given up and turn up later', async () => {
    const impatient = { timeoutMs: 700, answerTimeoutMs: 400 }
    await fc.assert(
      fc.asyncProperty(movesWith(honest), async moves => check(await play(moves, impatient), false)),
      { numRuns: 500 }
    )
  })

  it('may repeat, but loses and reorders nothing, when brokers forget or contradict themselves', async () => {
    await fc.assert(
      fc.asyncProperty(movesWith(forgetful), async moves => check(await play(moves), true)),
      { numRuns: 300 }
    )
  })
})
