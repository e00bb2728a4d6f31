import { expect } from 'chai'
import { KafkaPixyService } from '../../../src/apis/kafka-pixy/grpc/service.js'
import { kafkaPixySettings } from '../../../src/apis/kafka-pixy/settings.js'
import { silentLogger } from '../../../src/core/model.js'
import type { Gateway, GroupGateway } from '../../../src/gateway/gateway.js'
import type { Caller } from '../../../src/http/access/access.js'
import { refusedBy } from '../../support/api-context.js'
import { encodedRequest } from './grpc-messages.js'

const message = {
  topic: 'orders',
  partition: 0,
  groupId: 'billing',
  retries: 0,
  offset: 7,
  timestampMs: 0,
  key: Buffer.from('key'),
  value: Buffer.alloc(1_000),
  headers: [],
  ack: () => undefined,
  release: () => undefined
}

describe("Kafka-Pixy's gRPC service and quotas", () => {
  it('counts a message that was read against the quotas of its reader, as HTTP does', async () => {
    const charged: unknown[] = []
    const caller = {
      refusalOf: () => undefined,
      watch: () => undefined,
      charge: (...counts: unknown[]) => void charged.push(counts)
    } as unknown as Caller
    const gateway = {
      isReady: true,
      groups: {
        consume: (_group, _topic, _timeoutMs, { reply }) => {
          queueMicrotask(() => reply({ type: 'message', message }))
          return () => undefined
        }
      } as Partial<GroupGateway> as GroupGateway
    } as Partial<Gateway> as Gateway
    const parts = { gateways: new Map([['', gateway]]), log: silentLogger, refused: refusedBy('kafka-pixy') }
    const { ConsumeNAck } = new KafkaPixyService(kafkaPixySettings.parse({}), parts).handlers
    const bytes = encodedRequest('ConsumeNAck', { topic: 'orders', group: 'billing', no_ack: true })
    const call = {
      request: { bytes, caller, address: '127.0.0.1', hold: () => undefined, waits: () => () => undefined },
      cancelled: false,
      once: () => undefined
    }
    const serve = ConsumeNAck as unknown as (asked: object, answered: () => void) => void
    await new Promise<void>(resolve => serve(call, resolve))
    expect(charged).to.deep.equal([[1, 1_003]])
  })
})
