import { expect } from 'chai'
import { ProducerExpiration } from '../../../src/producer/memory/producer-expiration.js'

const DAY_MS = 86_400_000

describe('delivery: how long brokers remember producers', () => {
  it('is asked again in another cluster, whatever a broker of the former one answers then', async () => {
    const asked: { requester: { reply(answer: object): void } }[] = []
    const router = {
      tell(message: { type: string; requester: { reply(answer: object): void } }) {
        if (message.type === 'describeBrokerConfigs') asked.push(message)
        else message.requester.reply({ type: 'success', brokers: [{ nodeId: 1 }], topics: new Map() })
      }
    }
    const configs = (ms: number) => new Map([['producer.id.expiration.ms', String(ms)]])
    const expiration = new ProducerExpiration({ router: router as never, clock: () => 0 })
    const former = expiration.learn()
    await new Promise(setImmediate)
    expiration.clusterChanged()
    const present = expiration.learn()
    await new Promise(setImmediate)
    asked[1]!.requester.reply({ type: 'success', configs: configs(DAY_MS) })
    await present
    asked[0]!.requester.reply({ type: 'success', configs: configs(7 * DAY_MS) })
    await former
    expect(expiration.mayBeOver(2 * DAY_MS)).to.equal(true)
    expect(expiration.mayBeOver(DAY_MS / 2)).to.equal(false)
  })
})
