import { expect } from 'chai'
import { KafkaVerbs } from '../../src/verbs/kafka-verbs.js'

describe('the administration of a cluster', () => {
  it('has verbs that a program may take from it', () => {
    const told: unknown[] = []
    const router = { tell: (message: unknown) => told.push(message) } as never
    const delivery = { accept: () => expect.fail(), topicChanged: (topic: string) => told.push(topic) }
    const parts = { delivery, router, groups: {} as never, instances: {} as never, isReady: () => true }
    const { topicChanged } = new KafkaVerbs(parts).admin
    topicChanged('orders', false)
    expect(told).to.deep.equal([{ type: 'topicChanged', topic: 'orders', isDeleted: false }, 'orders'])
  })
})
