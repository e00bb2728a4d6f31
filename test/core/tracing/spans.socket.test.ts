import { context, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { encodedRequest } from '../../apis/kafka-pixy/grpc-messages.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { connectHttp2, framed, openCall } from '../../support/raw-grpc.js'
import { onBroker } from '../../support/stage.js'

const TRACE_ID = 'a'.repeat(32)
const SPAN_ID = 'b'.repeat(16)
const V2 = 'application/vnd.kafka.v2+json'
const EVENT = { ce_specversion: '1.0', ce_id: '1', ce_source: '/a', ce_type: 'b', 'content-type': 'text/plain' }

describe('spans', () => {
  const stage = onBroker()
  const exporter = new InMemorySpanExporter()
  let app: App
  let grpcPort: number

  before(async () => {
    new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
    const lines: LogLine[] = []
    const settings = {
      'apis.kafka-pixy.grpcPort': '0',
      'apis.kprf.durability': 'disk',
      'wal.directory': stage.folder(),
      'consumer.start': 'earliest',
      'consumer.longPollMs': '5000'
    }
    app = await stage.app(settings, recordingLogger(lines))
    grpcPort = (lines.find(({ message }) => message.includes('gRPC'))!.fields as { port: number }).port
  })
  beforeEach(() => exporter.reset())
  after(() => {
    for (const registered of [trace, context, propagation]) registered.disable()
  })

  /** A topic with an event whose headers name a span. */
  async function topicWithEvent(): Promise<string> {
    const topic = await stage.topic()
    const library = await stage.library()
    const headers = { ...EVENT, traceparent: `00-${TRACE_ID}-${SPAN_ID}-01` }
    await library.produceOrThrow({ topic, partition: 0, value: 'a', headers })
    return topic
  }

  async function ask(method: string, path: string, headers?: Record<string, string>, body?: object): Promise<string> {
    const asked = { method, ...(headers && { headers }), ...(body && { body: JSON.stringify(body) }) }
    const answer = await fetch(app.urls.shared + path, asked)
    const text = await answer.text()
    expect(answer.ok, text).to.equal(true)
    return text
  }

  const spanNamed = (wanted: string) => exporter.getFinishedSpans().find(({ name }) => name === wanted)!

  /** Does something within the span of a program. */
  async function asProgram<Result>(work: () => Promise<Result>): Promise<Result> {
    const span = trace.getTracer('a program').startSpan('mine', {}, ROOT_CONTEXT)
    const result = await context.with(trace.setSpan(ROOT_CONTEXT, span), work)
    span.end()
    return result
  }

  const nameOf = (id: string | undefined): string | undefined =>
    exporter.getFinishedSpans().find(one => one.spanContext().spanId === id)?.name

  /** Name, group, offset and count of each span of messages, its parent, and what it is linked to. */
  const given = () =>
    exporter
      .getFinishedSpans()
      .filter(({ name }) => name.startsWith('process '))
      .map(({ name, attributes, parentSpanContext, links }) => ({
        name,
        group: attributes['messaging.consumer.group.name'],
        offset: attributes['messaging.kafka.offset'],
        count: attributes['messaging.batch.message_count'],
        parent: nameOf(parentSpanContext?.spanId),
        links: links.map(({ context: { traceId, spanId } }) => `${traceId} ${spanId}`)
      }))

  const spanOf = (topic: string, group: string, parent: string | undefined) => [
    { name: `process ${topic}`, group, offset: 0, count: 1, parent, links: [`${TRACE_ID} ${SPAN_ID}`] }
  ]

  /** A span of a request ends when its answer has left, which its client may notice earlier. */
  async function requestIsOver(): Promise<void> {
    const isOver = (): boolean =>
      exporter.getFinishedSpans().some(({ attributes }) => attributes['http.route'] !== undefined)
    while (!isOver()) await new Promise(resolve => setImmediate(resolve))
  }

  it('begin with a request of Kafka-Pixy for messages', async () => {
    const topic = await topicWithEvent()
    await ask('GET', `/pixy/topics/${topic}/messages?group=g${topic}`)
    await requestIsOver()
    expect(given()).to.deep.equal(spanOf(topic, `g${topic}`, 'GET /pixy/topics/:topic/messages'))
  })

  it('begin with a request for events', async () => {
    const topic = await topicWithEvent()
    await ask('GET', `/events/${topic}?group=e${topic}`)
    await requestIsOver()
    expect(given()).to.deep.equal(spanOf(topic, `e${topic}`, 'GET /events/:topic'))
  })

  it('begin with an acquire of a queue', async () => {
    const topic = await topicWithEvent()
    const body = { count: 5, start: 'earliest', waitMs: 5_000 }
    await ask('POST', `/queues/${topic}/q${topic}/acquire`, { 'content-type': 'application/json' }, body)
    await requestIsOver()
    expect(given()).to.deep.equal(spanOf(topic, `q${topic}`, 'POST /queues/:topic/:group/acquire'))
  })

  it('begin with a read of an instance', async () => {
    const topic = await topicWithEvent()
    const group = `/confluent/consumers/c${topic}`
    const partitions = [{ topic, partition: 0 }]
    const { instance_id: id } = JSON.parse(await ask('POST', group, { 'content-type': V2 }, { format: 'binary' }))
    await ask('POST', `${group}/instances/${id}/assignments`, { 'content-type': V2 }, { partitions })
    await ask('POST', `${group}/instances/${id}/positions/beginning`, { 'content-type': V2 }, { partitions })
    await requestIsOver()
    exporter.reset()
    await ask('GET', `${group}/instances/${id}/records?timeout=5000`, {
      accept: 'application/vnd.kafka.binary.v2+json'
    })
    await requestIsOver()
    const route = 'GET /confluent/consumers/:group/instances/:instance/records'
    expect(given()).to.deep.equal(spanOf(topic, `c${topic}`, route))
  })

  it('of messages that a call of gRPC gets have no parent', async () => {
    const topic = await topicWithEvent()
    const session = await connectHttp2(grpcPort)
    const call = openCall(session, {}, 'ConsumeNAck')
    call.end(framed(encodedRequest('ConsumeNAck', { cluster: '', topic, group: `r${topic}`, auto_ack: true })))
    await new Promise(resolve => call.resume().once('end', resolve))
    session.destroy()
    expect(given()).to.deep.equal(spanOf(topic, `r${topic}`, undefined))
  })

  it('of records that an instance of a program reads have the current span as their parent', async () => {
    const topic = await topicWithEvent()
    const { instances } = await stage.library()
    const instance = { groupId: `i${topic}`, name: 'one', principal: 'program' }
    const limits = {
      autoCommitMs: undefined,
      minBytes: undefined,
      maxWaitMs: 5_000,
      maxBytes: 1_000,
      idleMs: undefined
    }
    await instances.create(instance, { api: 'program', format: 'any', start: 'earliest', ...limits }, undefined)
    await instances.assign(instance, [{ topic, partition: 0 }])
    const read = await asProgram(() => instances.read(instance, { timeoutMs: undefined, maxBytes: undefined }))
    if (read.type !== 'done') throw new Error(read.type)
    read.value.settle(1)
    expect(given()).to.deep.equal(spanOf(topic, `i${topic}`, 'mine'))
  })

  it('of batches are linked to the requests whose records they have', async () => {
    const topic = await stage.topic()
    await ask('POST', `/pixy/topics/${topic}/messages?key=k&sync`, { 'content-type': 'text/plain' }, { a: 1 })
    await requestIsOver()
    const [request, batch] = ['POST /pixy/topics/:topic/messages', `send ${topic}`].map(spanNamed)
    expect(batch!.links.map(({ context: { spanId } }) => spanId)).to.deep.equal([request!.spanContext().spanId])
  })

  it('of records that the durable log syncs are children of the request', async () => {
    const topic = await stage.topic()
    await ask('POST', '/kprf/push', { 'content-type': 'application/json' }, { records: [{ topic, data: 'a' }] })
    await requestIsOver()
    const [request, append] = ['POST /kprf/push', 'castellan.log append'].map(spanNamed)
    expect(append!.parentSpanContext?.spanId).to.equal(request!.spanContext().spanId)
    expect(append!.attributes).to.deep.equal({
      'messaging.destination.name': topic,
      'messaging.batch.message_count': 1,
      'castellan.durability': 'disk'
    })
  })

  it('of batches that a program writes are linked to its span', async () => {
    const topic = await stage.topic()
    const library = await stage.library()
    await asProgram(() => library.produceOrThrow({ topic, value: 'a' }))
    const [own, batch] = ['mine', `send ${topic}`].map(spanNamed)
    expect(batch!.links.map(({ context: { spanId } }) => spanId)).to.deep.equal([own!.spanContext().spanId])
  })
})
