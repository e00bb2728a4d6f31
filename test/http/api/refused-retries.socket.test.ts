import { expect } from 'chai'
import { byHand } from '../../../src/http/api/by-hand.js'
import { originOf } from '../../../src/http/api/request-origin.js'
import { failures } from '../../../src/producer/memory/failures.js'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import type { Started } from '../server/stage.js'
import { guarded, startRoutes } from './stage.js'

const options = { partitioner: 'crc32', deadlineMs: 100, durability: 'memory' } as const
const outcome = failures.timedOut('kafka has not acknowledged it', 'unknown')
const pending: PendingProduce = {
  refused: undefined,
  accepted: () => Promise.resolve(undefined),
  outcomes: () => Promise.resolve([outcome])
}

describe('a request with a key that comes again and is refused before it sends its records', () => {
  let started: Started
  let isRefusing: boolean
  let sent: number

  beforeEach(async () => {
    isRefusing = false
    sent = 0
    const accept = (): PendingProduce => {
      sent++
      return pending
    }
    const receive = guarded(({ request, response }) => {
      if (isRefusing) response.writeHead(429, { 'x-castellan-persisted': 'no' }).end()
      else {
        const record = { topic: 't', key: null, value: 'v', headers: [] }
        const outcomes = originOf(request).key!.produce([record], options, { accept }).outcomes()
        void outcomes.then(() => response.writeHead(504, { 'x-castellan-persisted': 'unknown' }).end())
      }
    })
    started = await startRoutes({ 'POST /push': byHand(receive) })
  })
  afterEach(() => started.http.close())

  const push = async (): Promise<string> => {
    const headers = { 'idempotency-key': 'a' }
    const answer = await fetch(`${started.http.urls.shared}/loud/push`, { method: 'POST', body: 'x', headers })
    return `${answer.status} ${answer.headers.get('x-castellan-persisted')}`
  }

  it('is not told that nothing was written, when earlier records may be in Kafka, and keeps its key', async () => {
    expect(await push()).to.equal('504 unknown')
    isRefusing = true
    expect(await push()).to.equal('429 unknown')
    isRefusing = false
    expect(await push()).to.equal('504 unknown')
    expect(sent).to.equal(1)
  })

  it('is told so, and is carried out later, when there are none', async () => {
    isRefusing = true
    expect(await push()).to.equal('429 no')
    isRefusing = false
    expect(await push()).to.equal('504 unknown')
    expect(sent).to.equal(1)
  })
})
