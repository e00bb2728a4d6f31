import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { certaintyOf, persistedText } from '../../../src/gateway/persisted.js'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import { DurableHarness } from '../../support/durable-harness.js'

const VALUES = Array.from({ length: 12 }, (_, at) => `${at}`)
const toHash = (value: string): string => value.padStart(16, 'k')

/** The answer after which a client does not send again. */
const doneWith = (deadlineMs: number): Told => (deadlineMs === 0 ? 'pending' : 'yes')

/** What a client is told. */
type Told = string | undefined

describe('keys of requests whose process is killed', () => {
  let harness: DurableHarness
  afterEach(() => harness.restore())

  /** Sends a request with two records; resolves when it is answered. */
  async function send(value: string, deadlineMs: number): Promise<Told> {
    const { delivery, keys } = harness
    const claim = await keys.claim({ hash: toHash(value), fingerprint: value.padEnd(8, 'f') }, 1_000)
    if (claim.type === 'answered') return claim.answer.body.toString()
    if (claim.type !== 'claimed') return claim.type
    const options: ProduceOptions = { partitioner: 'murmur2', deadlineMs, durability: 'disk' }
    const records = ['a', 'b'].map((part): ProduceRecord => ({ topic: 'orders', key: null, value: `${value}${part}` }))
    const pending = claim.key.produce(records, options, (missing, tag) =>
      delivery.accept(missing, options, undefined, tag)
    )
    const refused = await pending.accepted()
    const outcomes = deadlineMs === 0 ? undefined : await pending.outcomes()
    const certainties = outcomes?.map(certaintyOf) ?? records.map((_, at) => refused?.[at]?.persisted ?? 'pending')
    const persisted = persistedText(certainties)
    return new Promise(resolve =>
      claim.key.answered({ status: 200, headers: [], body: Buffer.from(persisted) }, persisted, () =>
        resolve(persisted)
      )
    )
  }

  const sendAll = (deadlineMs: number, told: Map<string, Told>): void => {
    for (const value of VALUES) {
      if (told.get(value) !== doneWith(deadlineMs)) void send(value, deadlineMs).then(answer => told.set(value, answer))
    }
  }

  for (const deadlineMs of [0, 5_000]) {
    const mode = deadlineMs === 0 ? 'an asynchronous' : 'a synchronous'
    it(`${mode} request that is sent again has its records once, whenever the process was killed`, async () => {
      for (let moment = 0; moment < 40; moment++) {
        harness?.restore()
        harness = new DurableHarness({ topics: { orders: 2 } })
        await harness.start()
        const told = new Map<string, Told>()
        sendAll(deadlineMs, told)
        for (let step = 0; step < moment; step++) await harness.clock.nextAsync()
        await harness.restart()
        sendAll(deadlineMs, told)
        for (let step = 0; step < moment % 7; step++) await harness.clock.nextAsync()
        await harness.restart()
        sendAll(deadlineMs, told)
        for (let attempt = 0; attempt < 3; attempt++) {
          await harness.pass(10_000)
          sendAll(deadlineMs, told)
        }
        await harness.pass(10_000)
        expect([...new Set(told.values())], `killed after ${moment} steps`).to.deep.equal([doneWith(deadlineMs)])
        const values = harness.router.values('orders')
        const expected = VALUES.flatMap(value => [`${value}a`, `${value}b`])
        expect(values.toSorted(), `killed after ${moment} steps`).to.deep.equal(expected.toSorted())
        expect(harness.keys.claim({ hash: toHash('0'), fingerprint: 'another-' }, 0)).to.include({ type: 'conflict' })
      }
    })
  }
})
