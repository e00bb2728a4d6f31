import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

/** What kprf's own example has: `queue_buffering_max_kbytes: 2048`. */
const BUFFER_BYTES = String(2 * 1024 * 1024)
const OK = { status: 200, body: { status: 'ok', errors: [] } }

interface PushRecord {
  readonly topic: string
  readonly data: string
  readonly partition?: number
}

describe('a push that is larger than the whole buffer for records', () => {
  inWorld()
  const stage = onCluster()
  let app: App
  let topic: string
  before(async () => {
    app = await stage.app({ 'delivery.maxBytes': BUFFER_BYTES, 'http.admissionWaitMs': '30000' })
  })
  beforeEach(async () => {
    topic = await stage.topic('large', 2)
  })

  const push = async (records: readonly PushRecord[], waitForSend: boolean) => {
    const answer = await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records, wait_for_send: waitForSend })
    })
    return { status: answer.status, body: await answer.json() }
  }
  const numbered = (count: number, bytes: number, partition?: number): PushRecord[] =>
    Array.from({ length: count }, (_, at) => ({
      topic,
      data: String(at).padEnd(bytes, '.'),
      ...(partition !== undefined && { partition })
    }))
  const numbersIn = async (partition: number, count: number): Promise<number[]> =>
    [...(await stage.reader.read(topic, partition, count)).values()].map(({ value }) =>
      Number.parseInt(String(value), 10)
    )
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

  for (const waitForSend of [true, false]) {
    const how = waitForSend ? 'waits for its records' : 'does not wait for its records'

    it(`is taken whole, in order, when it ${how}: four of 900 kB for a topic that no request has named`, async () => {
      expect(await push(numbered(4, 900_000, 0), waitForSend)).to.deep.equal(OK)
      expect(await numbersIn(0, 4)).to.deep.equal(upTo(4))
      expect(await push(numbered(4, 900_000, 0), waitForSend), 'and once it is known').to.deep.equal(OK)
      expect(await numbersIn(0, 8)).to.deep.equal([...upTo(4), ...upTo(4)])
    })

    it(`is taken whole, in order, when it ${how}: a thousand of 4 KiB`, async () => {
      expect(await push(numbered(1_000, 4_096, 1), waitForSend)).to.deep.equal(OK)
      expect(await numbersIn(1, 1_000)).to.deep.equal(upTo(1_000))
    })
  }

  it('is taken whole without keys and partitions, and for several topics', async () => {
    const other = freshTopic('other')
    await stage.cluster.createTopic(other, 1)
    const keyless = numbered(1_000, 4_096)
    const elsewhere = numbered(3, 500_000, 0).map(record => ({ ...record, topic: other }))
    expect(await push([...keyless, ...elsewhere], true)).to.deep.equal(OK)
    expect(await push([...elsewhere, ...keyless], true)).to.deep.equal(OK)
  })

  it('holds up no other one for good: several at once are all taken', async () => {
    const pushes = await Promise.all(upTo(4).map(at => push(numbered(4, 900_000, at % 2), true)))
    expect(pushes).to.deep.equal(upTo(4).map(() => OK))
  })
})
