import * as api from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import { expect } from 'chai'
import { Tracing } from '../../src/core/tracing/tracing.js'
import { TracedVerbs } from '../../src/verbs/traced-verbs.js'
import type { AcquireOptions, AcquireResult, QueueMessage } from '../../src/verbs/verbs.js'
import { FakeVerbs } from '../support/fake-verbs.js'

const OPTIONS: AcquireOptions = {
  count: 2,
  waitMs: 0,
  maxBytes: 1,
  lockMs: undefined,
  start: undefined,
  client: 'a client',
  mayAlter: []
}

const messageAt = (partition: number, offset: number): QueueMessage => ({
  token: '',
  topic: 'orders',
  partition,
  record: { offset, timestampMs: 0, key: null, value: null, headers: [] },
  deliveryCount: 1,
  lastDelivery: false,
  lockEndsAt: 1_000
})

describe('the verbs of queues with spans', () => {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const verbs = new FakeVerbs()
  after(() => provider.shutdown())

  const acquire = (result: AcquireResult): AcquireResult[] => {
    verbs.queues = {
      ...verbs.queues,
      acquire(_topic, _groupId, _options, { reply }) {
        reply(result)
        return () => undefined
      }
    }
    const traced = new TracedVerbs(verbs, new Tracing(api, provider.getTracer('test')))
    const results: AcquireResult[] = []
    traced.queues.acquire('orders', 'workers', OPTIONS, { reply: one => results.push(one) })
    return results
  }

  it('have a span per partition of the messages that a client gets', () => {
    const result: AcquireResult = {
      type: 'acquired',
      messages: [messageAt(0, 7), messageAt(0, 8), messageAt(1, 3)],
      isNewGroup: false
    }
    expect(acquire(result)).to.deep.equal([result])
    const spans = exporter
      .getFinishedSpans()
      .map(({ name, attributes }) => [
        name,
        attributes['messaging.consumer.group.name'],
        attributes['messaging.destination.partition.id']
      ])
    expect(spans).to.deep.equal([
      ['process orders', 'workers', '0'],
      ['process orders', 'workers', '1']
    ])
  })

  it('have none of an acquire without messages', () => {
    exporter.reset()
    expect(acquire({ type: 'acquired', messages: [], isNewGroup: true })).to.have.length(1)
    expect(exporter.getFinishedSpans()).to.deep.equal([])
  })
})
