import { expect } from 'chai'
import { Children, Gateway } from './child.js'

const TWO = ['--workers', '2', '--embedded-port', '0', '--set', 'advanced.workers.restartPauseMs=100']
const ENOUGH = 40
const LIMIT_MS = 60_000

interface Answer {
  readonly status: number
  /** The worker that has answered. */
  readonly worker: string
  readonly receipt: string
  readonly states: readonly string[]
}

/** Each request has a connection of its own, which either of the workers takes. */
async function ask(url: string, init?: RequestInit): Promise<Answer> {
  const answer = await fetch(url, { ...init, headers: { ...init?.headers, connection: 'close' } })
  const text = await answer.text()
  const { records = [] } = (text.startsWith('{') ? JSON.parse(text) : {}) as { records?: { state: string }[] }
  return {
    status: answer.status,
    worker: answer.headers.get('x-request-id')!.split('-')[0]!,
    receipt: answer.headers.get('x-castellan-receipt') ?? '',
    states: records.map(({ state }) => state)
  }
}

describe('receipts of a gateway with two workers', function () {
  this.timeout(2 * LIMIT_MS)
  const children = new Children()
  afterEach(() => children.stopAll())

  it('are answered by each of them, whichever has the records', async () => {
    const gateway = await Gateway.start(children, TWO)
    await gateway.until(200)
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ records: [{ topic: 'orders', data: 'v' }] })
    const sent: Answer[] = []
    for (let nth = 0; nth < ENOUGH; nth++) {
      const path = nth % 2 === 0 ? '/arion/async/orders' : '/kprf/push'
      sent.push(await ask(gateway.url + path, { method: 'POST', headers, body }))
    }
    const [givers, askers] = [new Set(sent.map(({ worker }) => worker)), new Set<string>()]
    expect(givers.size).to.equal(2)
    for (const { receipt, worker } of sent) {
      const seen = new Set<string>()
      for (const deadline = performance.now() + LIMIT_MS; seen.size < 2 && performance.now() < deadline; ) {
        const found = await ask(`${gateway.url}/receipts/${receipt}?wait=20s`)
        expect([found.status, found.states]).to.deep.equal([200, ['inKafka']])
        seen.add(found.worker)
        if (found.worker !== worker) askers.add(found.worker)
      }
      expect(seen.size).to.equal(2)
    }
    expect(askers.size).to.equal(2)
    const { receipt } = sent[0]!
    const wrong = receipt.slice(0, -2) + (receipt.at(-2) === 'A' ? 'B' : 'A') + receipt.at(-1)
    for (let nth = 0; nth < 8; nth++) expect((await ask(`${gateway.url}/receipts/${wrong}`)).status).to.equal(404)
  })
})
