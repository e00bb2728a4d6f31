import { expect } from 'chai'
import { onBroker } from '../../support/stage.js'
import { type Got, LendingClients, until } from './lending-clients.js'

/** More of it: lending.explore.test.ts. */
describe('gateways that lend each other messages', function () {
  this.timeout(60_000)
  const clients = new LendingClients(onBroker())

  it('have the client of a lent message acknowledge it at any of them', async () => {
    await clients.start(2)
    const got: Got[] = []
    for (let at = 0; at < 8; at++) {
      const answer = clients.poll('&noAck')
      await clients.produce(String(at), at % 4)
      got.push(await answer)
    }
    expect(got.map(({ value }) => value)).to.deep.equal(Array.from({ length: 8 }, (_, at) => String(at)))
    await until(async () => (await clients.sumOf('castellan_groups_loans')) === 0)
    expect(await clients.sumOf('castellan_groups_lent_messages_total{result="delivered"}')).to.be.greaterThan(2)
    for (const { partition, offset } of got) {
      expect(await clients.ack(clients.inTurn, { partition, offset })).to.equal(200)
    }
    await until(async () => (await clients.committed()) === 8)
  })
})
