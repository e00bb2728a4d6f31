import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Children, Gateway } from './child.js'

/** A request that the former release answered, and what it answered. How the directories were made: test/data/README.md. */
interface FormerRequest {
  readonly path: string
  readonly body: string
  readonly status: number
  readonly answer: object
  /** None before there were receipts. */
  readonly receipt?: string
  /** Its `Idempotency-Key`. */
  readonly key?: string
}

/** Starts the process a minute after the former one was killed, by its wall clock: keys and records are kept for some days only. */
function clockFrom(at: number): string {
  const shifted = `const shift = ${at} - Date.now(), Now = Date
    globalThis.Date = class extends Now {
      constructor(...args) { args.length === 0 ? super(Now.now() + shift) : super(...args) }
      static now() { return Now.now() + shift }
    }`
  return `--import data:text/javascript,${encodeURIComponent(shifted)}`
}

const FORMER = 'test/data/upgrade'
const KILLED_AT: Record<string, number> = {
  f61c45b: Date.parse('2026-11-26T08:03:09Z'),
  '79d4ee42': Date.parse('2026-11-25T09:21:54Z')
}
/** Before these there were neither receipts, keys of requests nor instances that outlive a gateway. */
const WITHOUT_RECEIPTS: readonly string[] = ['f61c45b']

for (const commit of readdirSync(FORMER)) {
  describe(`the directories that commit ${commit} has written`, () => {
    const children = new Children()
    const requests = JSON.parse(readFileSync(join(FORMER, commit, 'requests.json'), 'utf8')) as FormerRequest[]
    let directory: string
    let gateway: Gateway
    let brokers: string

    before(async () => {
      directory = mkdtempSync(join(tmpdir(), 'castellan-upgrade-'))
      cpSync(join(FORMER, commit), directory, { recursive: true })
      const args = ['--embedded-port', '0', '--embedded-dir', join(directory, 'broker')]
      gateway = await Gateway.start(children, args, {
        CASTELLAN_WAL_DIRECTORY: join(directory, 'log'),
        NODE_OPTIONS: clockFrom(KILLED_AT[commit]! + 60_000)
      })
      await gateway.until(200)
      brokers = (await gateway.child.line(/embedded broker.*?(127\.0\.0\.1:\d+)/))[1]!
    })
    after(async () => {
      await children.stopAll()
      rmSync(directory, { recursive: true, force: true })
    })

    const receiptOf = async ({ receipt }: FormerRequest) => {
      const answer = await fetch(`${gateway.url}/receipts/${receipt}?wait=30s`)
      return [answer.status, ((await answer.json()) as { records?: { state: string }[] }).records?.map(r => r.state)]
    }

    /** The values of all records of a topic. */
    async function valuesOf(topic: string): Promise<string[]> {
      const reader = children.start(['read', topic, '--brokers', brokers])
      await reader.exit()
      return reader.lines
    }

    it('have each record that was acknowledged, once', async () => {
      const delivered = /castellan_wal_open_records (\d+)/
      let waiting = -1
      while (waiting !== 0) {
        const metrics = await (await fetch(`${gateway.management}/metrics`)).text()
        waiting = Number(delivered.exec(metrics)![1])
      }
      const values = [...(await valuesOf('orders')), ...(await valuesOf('other'))]
      expect(values.sort()).to.deep.equal(requests.map(({ body }) => body).sort())
    })
    if (WITHOUT_RECEIPTS.includes(commit)) return

    it('have a receipt for each request, and each receipt says that the records are in Kafka', async () => {
      for (const request of requests) expect(await receiptOf(request), request.body).to.deep.equal([200, ['inKafka']])
    })

    it('know the key of each request: it is answered as before, and written once', async () => {
      for (const { path, body, key, status, answer, receipt } of requests) {
        if (key === undefined) continue
        // curl's content type: it is a part of what a request is.
        const headers = { 'idempotency-key': key, 'content-type': 'application/x-www-form-urlencoded' }
        const again = await fetch(gateway.url + path, { method: 'POST', headers, body })
        expect([again.status, again.headers.get('idempotent-replayed')], body).to.deep.equal([status, 'true'])
        expect(await again.json(), body).to.deep.equal(answer)
        expect(again.headers.get('x-castellan-receipt'), body).to.equal(receipt)
      }
      const values = [...(await valuesOf('orders')), ...(await valuesOf('other'))]
      expect(values.sort()).to.deep.equal(requests.map(({ body }) => body).sort())
    })

    it('have the consumer instances, with what they subscribed to or were assigned', async () => {
      const instances = `${gateway.url}/confluent/consumers/readers/instances`
      const subscription = await fetch(`${instances}/i1/subscription`)
      expect([subscription.status, await subscription.json()]).to.deep.equal([200, { topics: ['orders'] }])
      const assigned = await fetch(`${instances}/i2/assignments`)
      expect([assigned.status, await assigned.json()]).to.deep.equal([
        200,
        { partitions: [{ topic: 'orders', partition: 1 }] }
      ])
    })
  })
}
