import { expect } from 'chai'
import { KafkaPixyService } from '../../../src/apis/kafka-pixy/grpc/service.js'
import { kafkaPixySettings } from '../../../src/apis/kafka-pixy/settings.js'
import { silentLogger } from '../../../src/core/model.js'
import type { Caller } from '../../../src/http/access/access.js'
import { refusedBy } from '../../support/api-context.js'
import { encodedRequest } from './grpc-messages.js'
import { LookUpGateway, topic, topics } from './look-up-gateway.js'

describe("lists of Kafka-Pixy's gRPC service", () => {
  it('tell a client of the topics that it administers, and of no others', async () => {
    const gateway = new LookUpGateway()
    gateway.metadata = topics(topic('a'), topic('b'), topic('secret'))
    const caller = {
      refusalOf: () => undefined,
      allows: (operation, target) => operation === 'admin' && target?.topic !== 'secret'
    } as Partial<Caller> as Caller
    const parts = { gateways: new Map([['', gateway]]), log: silentLogger, refused: refusedBy('kafka-pixy') }
    const { ListTopics } = new KafkaPixyService(kafkaPixySettings.parse({}), parts).handlers
    const bytes = encodedRequest('ListTopics', { with_partitions: false })
    const call = { request: { bytes, caller, address: '127.0.0.1', hold: () => undefined }, cancelled: false }
    const serve = ListTopics as unknown as (asked: object, answered: (error: unknown, answer: unknown) => void) => void
    const answer = await new Promise<{ topics: object }>((resolve, reject) =>
      serve(call, (error, said) => (error ? reject(error) : resolve(said as { topics: object })))
    )
    expect(Object.keys(answer.topics)).to.deep.equal(['a', 'b'])
    expect(gateway.asked).to.deep.include(['configs', ['a', 'b'], 10_000])
  })
})
