import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { PendingProduce, ProduceOptions } from '../../../src/verbs/verbs.js'
import { delivered, FakeVerbs } from '../../support/fake-verbs.js'
import { HostileHttp, play } from '../../support/hostile-http.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { type Started, startHttp, untilNothingIsHeld } from './stage.js'

const REQUESTS = Number(process.env.HOSTILE_REQUESTS ?? 10_000)
const AT_ONCE = 40

/** A gateway whose outcomes come after a while for one topic, and at once for the others. */
class SlowVerbs extends FakeVerbs {
  constructor() {
    super({ outcome: 'by hand' })
  }

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    const pendingProduce = super.produce(records, options)
    const call = this.calls.pop()!
    const settle = (): void => call.settle(records.map(() => delivered()))
    if (records.some(({ topic }) => topic === 'slow')) setTimeout(settle, 5)
    else settle()
    return pendingProduce
  }
}

describe('http and hostile clients', () => {
  const seed = testSeed()
  let started: Started
  afterEach(() => started.http.close())

  const attack = async (http: object): Promise<void> => {
    started = await startHttp({ http, verbs: new SlowVerbs() })
    const hostile = new HostileHttp(new SeededRandom(seed))
    const problems: string[] = []
    let left = REQUESTS
    const worker = async (): Promise<void> => {
      while (left > 0) {
        const script = hostile.next()
        left -= script.requests
        const problem = await play(started.http.urls.shared, script)
        if (problem !== undefined) problems.push(`${problem}\n${Buffer.concat(script.pieces).toString('latin1')}`)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    expect(problems.slice(0, 3)).to.deep.equal([])
    await untilNothingIsHeld(started)
  }

  it(`${REQUESTS} requests that are cut at random points leave no memory held (seed ${seed})`, async function () {
    this.timeout(120_000 + REQUESTS * 20)
    await attack({ requestTimeoutMs: 3_000, headersTimeoutMs: 1_000 })
  })

  it(`${REQUESTS} requests that are cut leave no memory held where hardly any capacity is left (seed ${seed})`, async function () {
    this.timeout(120_000 + REQUESTS * 20)
    await attack({
      requestTimeoutMs: 3_000,
      headersTimeoutMs: 1_000,
      maxBodiesInFlightBytes: 3_000,
      maxBodyBytesPerConnection: 1_000,
      maxRequestsPerConnection: 2,
      perAddress: { maxBodiesInFlightBytes: 2_500, maxRequestsInFlight: 30 }
    })
  })
})
