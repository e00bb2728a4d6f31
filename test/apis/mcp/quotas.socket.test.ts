import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { sealedBatch } from '../../support/embedded-router.js'
import { type Called, McpGateway } from './stage.js'

/** Of an account that is used up. */
const REFUSED = /^answered 429: /

describe('quotas of agents', () => {
  let gateway: McpGateway
  afterEach(() => gateway.close())

  /** A gateway with 40 records, and with the quotas of clients without credentials. */
  async function open(quotas: object): Promise<void> {
    gateway = await McpGateway.open({ write: true }, { quotas: { perPrincipal: quotas } })
    gateway.cluster.createTopic('orders', { partitions: 1 })
  }
  /** Behind the gateway: what it takes counts for no quota. */
  const fill = (records: number): void => {
    gateway.cluster.appendRaw('orders', 0, sealedBatch(Array.from({ length: records }, () => 'x'.repeat(100))))
  }
  const refusalOf = (called: Promise<Called>): Promise<string> =>
    called.then(
      () => 'answered',
      (error: Error) => error.message
    )

  it('count the bytes of messages', async () => {
    await open({ bytesPerSecond: 100 })
    expect(
      (await gateway.post({ jsonrpc: '2.0', id: 1, method: 'ping', params: { more: 'x'.repeat(10_000) } })).status
    ).to.equal(200)
    const refused = await gateway.post({ jsonrpc: '2.0', id: 2, method: 'ping' })
    expect(refused.status).to.equal(429)
    expect(Number(refused.retryAfter)).to.be.within(90, 105)
  })

  it('count what find_record reads', async () => {
    await open({ recordsPerSecond: 5 })
    fill(40)
    expect((await gateway.call('find_record', { topic: 'orders', key: 'none' })).isError).to.equal(undefined)
    expect(await refusalOf(gateway.call('list_topics'))).to.match(REFUSED)
  })

  it('count what find_record has read before it fails', async () => {
    await open({ recordsPerSecond: 5 })
    fill(40)
    const errorCode = errorCodes.TOPIC_AUTHORIZATION_FAILED
    gateway.cluster.faults.add(
      { api: 'Fetch', topic: 'orders', skip: 1, count: Number.POSITIVE_INFINITY },
      { type: 'error', errorCode }
    )
    const { structuredContent } = await gateway.call('find_record', { topic: 'orders', key: 'none' })
    expect(structuredContent.error).to.equal('notAuthorized')
    expect(await refusalOf(gateway.call('list_topics'))).to.match(REFUSED)
  })

  it('count what is read by a message whose bytes have used them up', async () => {
    await open({ bytesPerSecond: 100, recordsPerSecond: 1 })
    fill(40)
    expect((await gateway.call('read_messages', { topic: 'orders', count: 40 })).isError).to.equal(undefined)
    const refused = await gateway.post({ jsonrpc: '2.0', id: 2, method: 'ping' })
    expect([refused.status, Number(refused.retryAfter) > 30]).to.deep.equal([429, true])
  })

  it('let a record be written whose bytes use them up, and count them once', async () => {
    await open({ bytesPerSecond: 1_000 })
    const { structuredContent } = await gateway.call('produce_message', { topic: 'orders', value: 'x'.repeat(5_000) })
    expect(structuredContent).to.include({ persisted: 'yes' })
    const refused = await gateway.post({ jsonrpc: '2.0', id: 2, method: 'ping' })
    expect([refused.status, Number(refused.retryAfter)]).to.satisfy(
      ([status, seconds]: number[]) => status === 429 && seconds! >= 4 && seconds! <= 6
    )
  })
})
