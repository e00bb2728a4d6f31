import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Clients, ways } from './clients.js'
import { MeasuredGateway } from './measured-gateway.js'
import { type Asked, kinds } from './request-kinds.js'

const TIMES = 400
const WARM_TIMES = 100
/** What one request may leave behind: receipts, names, counts. */
const MAX_KEPT_BYTES = 5 * 1024
/** Timers of requests that have ended, and the connections of members of groups to Kafka, are gone by then. */
const QUIET_MS = 30_000
const LOOK_AGAIN_MS = 1_500
const MIB = 1024 * 1024

describe('requests that have ended', function () {
  this.timeout(1_800_000)
  let gateway: MeasuredGateway
  let clients: Clients
  before(async () => {
    gateway = await MeasuredGateway.start()
    clients = await Clients.of(gateway)
  })
  after(async () => {
    clients?.close()
    await gateway?.close()
  })

  it('keep at most 30 MB after 300 consumer instances that were each read once, beside an empty topic, and deleted', async () => {
    const kind = kinds.find(({ name }) => name.startsWith('strimzi: read'))!
    const readAll = async (asked: Asked): Promise<void> => {
      for (let chars = 0; chars < MIB; ) chars += (await clients.answered(asked)).length
    }
    const read = (): Promise<void> => clients.send(kind, 'answered', readAll)
    await clients.repeat(10, read)
    const before = await gateway.memory()
    await clients.repeat(300, read)
    const after = await gateway.memory()
    expect((after.heldBytes - before.heldBytes) / MIB).to.be.below(30)
  })

  const held = async (): Promise<number> => {
    await sleep(LOOK_AGAIN_MS)
    return (await gateway.memory()).heldBytes
  }
  for (const way of ways)
    for (const kind of kinds)
      it(`of the kind "${kind.name}", ${way}, keep at most 5 KiB each`, async () => {
        const send = (): Promise<void> => clients.send(kind, way)
        await clients.repeat(WARM_TIMES, send)
        const before = await held()
        await clients.repeat(TIMES, send)
        const quietAt = performance.now() + QUIET_MS
        let kept = ((await held()) - before) / TIMES
        while (kept > MAX_KEPT_BYTES && performance.now() < quietAt) kept = ((await held()) - before) / TIMES
        expect(kept).to.be.at.most(MAX_KEPT_BYTES)
      })
})
