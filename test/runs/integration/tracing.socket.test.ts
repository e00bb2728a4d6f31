import { setTimeout as sleep } from 'node:timers/promises'
import { context, propagation, type SpanContext, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import { expect } from 'chai'
import { openCastellan } from '../../../src/client/open-castellan.js'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'
import { metricOf } from '../../support/test-app.js'

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c'
const PARENT = `00-${TRACE_ID}-b7ad6b7169203331-01`
const PATIENCE_MS = 30_000

describe('spans', function () {
  this.timeout(60_000)
  const stage = onBroker()
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  let app: App
  before(async () => {
    provider.register()
    stage.cluster.createTopic('orders', { partitions: 2 })
    app = await stage.app({
      'consumer.start': 'earliest',
      'http.recordHeaders': 'traceparent',
      'apis.arion.enabled': 'true'
    })
  })
  after(async () => {
    await provider.shutdown()
    for (const one of [trace, context, propagation]) one.disable()
  })
  beforeEach(() => exporter.reset())

  type Span = ReturnType<typeof exporter.getFinishedSpans>[number]
  const spansOf = (name: string): Span[] => exporter.getFinishedSpans().filter(span => span.name === name)
  /** The spans of a name, when there are as many. */
  const finished = async (name: string, count = 1): Promise<Span[]> => {
    for (const end = performance.now() + PATIENCE_MS; spansOf(name).length < count; await sleep(10)) {
      if (performance.now() > end)
        throw new Error(
          exporter
            .getFinishedSpans()
            .map(span => span.name)
            .join(', ')
        )
    }
    return spansOf(name)
  }
  const push = (records: readonly object[], headers: Record<string, string> = {}, wait = true): Promise<Response> =>
    fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ records, wait_for_send: wait })
    })
  const isSpan = (one: SpanContext | undefined, other: SpanContext): boolean =>
    one?.spanId === other.spanId && one.traceId === other.traceId

  it('of a push are one below the trace of its client, and one of the batch that is linked to it', async () => {
    const answer = await push([{ topic: 'orders', key: 'k', data: 'a' }], {
      traceparent: PARENT,
      'user-agent': 'shop/1'
    })
    expect(answer.status).to.equal(200)
    const [request] = await finished('POST /kprf/push')
    expect(request!.kind).to.equal(SpanKind.SERVER)
    expect(request!.spanContext().traceId).to.equal(TRACE_ID)
    expect(request!.parentSpanContext?.spanId).to.equal('b7ad6b7169203331')
    expect(request!.status.code).to.equal(SpanStatusCode.UNSET)
    expect(request!.attributes).to.deep.equal({
      'http.request.method': 'POST',
      'http.route': '/kprf/push',
      'url.path': '/kprf/push',
      'url.scheme': 'http',
      'http.response.status_code': 200,
      'server.address': '127.0.0.1',
      'server.port': Number(new URL(app.urls.shared).port),
      'client.address': '127.0.0.1',
      'network.protocol.version': '1.1',
      'user_agent.original': 'shop/1',
      'castellan.api': 'kprf',
      'castellan.request.id': answer.headers.get('x-request-id')
    })
    const [send] = await finished('send orders')
    expect(send!.kind).to.equal(SpanKind.CLIENT)
    expect(send!.parentSpanContext).to.equal(undefined)
    expect(send!.links.map(link => isSpan(link.context, request!.spanContext()))).to.deep.equal([true])
    expect(send!.attributes).to.deep.include({
      'messaging.system': 'kafka',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'orders',
      'messaging.batch.message_count': 1,
      'messaging.kafka.offset': 0,
      'castellan.batch.attempts': 1,
      'castellan.durability': 'memory'
    })
    const ended = exporter.getFinishedSpans().map(({ name }) => name)
    expect(ended.filter(name => name === send!.name || name === request!.name)).to.deep.equal([
      send!.name,
      request!.name
    ])
  })

  it('of one batch of many requests are one that is linked to each of them, and to 64 at most', async () => {
    // The first batch is tried again and again until the others have come.
    const held = stage.cluster.faults.add(
      { api: 'Produce', topic: 'orders', count: Infinity },
      { type: 'error', errorCode: 19 }
    )
    const records = [{ topic: 'orders', key: 'k', data: 'a' }]
    const first = push(records)
    await held.whenFired()
    const others = Array.from({ length: 80 }, () => push(records))
    while ((await metricOf(app.urls.management, 'castellan_delivery_buffered_records')) < 81) await sleep(10)
    held.remove()
    await Promise.all([first, ...others])
    const sends = await finished('send orders', 2)
    expect(sends.map(send => send.links.length).slice(0, 2)).to.deep.equal([1, 64])
    expect(sends[1]!.attributes['messaging.batch.message_count']).to.equal(80)
  })

  it('of a batch have an event for each attempt that failed, and are an error where Kafka refuses it', async () => {
    stage.cluster.faults.add({ api: 'Produce', topic: 'orders', count: 2 }, { type: 'error', errorCode: 19 })
    expect((await push([{ topic: 'orders', key: 'k', data: 'a' }])).status).to.equal(200)
    const [tried] = await finished('send orders')
    expect(tried!.events.map(event => event.name)).to.deep.equal(['castellan.retry', 'castellan.retry'])
    expect(String(tried!.events[0]!.attributes?.reason)).to.contain('NOT_ENOUGH_REPLICAS')
    expect(tried!.attributes['castellan.batch.attempts']).to.equal(3)
    exporter.reset()
    stage.cluster.faults.add({ api: 'Produce', topic: 'orders', count: 20 }, { type: 'error', errorCode: 87 })
    expect((await push([{ topic: 'orders', key: 'k', data: 'a' }])).status).to.equal(500)
    const [refused] = await finished('send orders')
    expect(refused!.status.code).to.equal(SpanStatusCode.ERROR)
    expect(refused!.attributes['error.type']).to.equal('recordRejected')
    const [request] = await finished('POST /kprf/push')
    expect(request!.status.code).to.equal(SpanStatusCode.ERROR)
    expect(request!.attributes).to.deep.include({ 'http.response.status_code': 500, 'error.type': 'recordRejected' })
  })

  it('of a consumed message begin below the request, and are linked to the trace in the headers of the record', async () => {
    const castellan = await openCastellan({ brokers: stage.bootstrap })
    stage.cluster.createTopic('parcels', { partitions: 1 })
    const headers = [{ key: 'traceparent', value: Buffer.from(PARENT) }]
    const produced = castellan.verbs.produce([{ topic: 'parcels', key: null, value: 'a', headers }], {
      partitioner: 'murmur2',
      deadlineMs: PATIENCE_MS
    })
    expect((await produced.outcomes())[0]!.type).to.equal('delivered')
    await castellan.close()
    const answer = await fetch(`${app.urls.shared}/pixy/topics/parcels/messages?group=billing`)
    expect(answer.status, await answer.text()).to.equal(200)
    const [process] = await finished('process parcels')
    const [request] = await finished('GET /pixy/topics/:topic/messages')
    expect(process!.kind).to.equal(SpanKind.CONSUMER)
    expect(isSpan(process!.parentSpanContext, request!.spanContext())).to.equal(true)
    expect(process!.links.map(link => [link.context.traceId, link.context.spanId])).to.deep.equal([
      [TRACE_ID, 'b7ad6b7169203331']
    ])
    expect(process!.attributes).to.deep.equal({
      'messaging.system': 'kafka',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'parcels',
      'messaging.destination.partition.id': '0',
      'messaging.consumer.group.name': 'billing',
      'messaging.batch.message_count': 1,
      'messaging.kafka.offset': 0
    })
  })

  it('of a consumed message are linked to the request that brought it, where records carry the trace', async () => {
    stage.cluster.createTopic('letters', { partitions: 1 })
    expect((await push([{ topic: 'letters', data: 'a' }], { traceparent: PARENT })).status).to.equal(200)
    const [request] = await finished('POST /kprf/push')
    const answer = await fetch(`${app.urls.shared}/pixy/topics/letters/messages?group=carriers`)
    expect(answer.status, await answer.text()).to.equal(200)
    const [process] = await finished('process letters')
    expect(process!.links.map(link => isSpan(link.context, request!.spanContext()))).to.deep.equal([true])
    expect(answer.headers.get('traceparent')).to.equal(`00-${TRACE_ID}-${request!.spanContext().spanId}-01`)
  })

  it('of a record of the durable log are one until it is synced, and then one of its batch', async () => {
    const answer = await fetch(`${app.urls.shared}/arion/async/orders/k1`, {
      method: 'POST',
      body: 'a',
      headers: { traceparent: PARENT }
    })
    expect(answer.status, await answer.text()).to.be.within(200, 202)
    const [append] = await finished('castellan.log append')
    const requests = exporter.getFinishedSpans().filter(span => span.kind === SpanKind.SERVER)
    expect(requests.map(span => [span.name, span.attributes['url.path']])).to.deep.equal([
      ['POST /arion/async/:topic/:key', '/arion/async/:topic/:key']
    ])
    expect(isSpan(append!.parentSpanContext, requests[0]!.spanContext())).to.equal(true)
    const [send] = await finished('send orders')
    expect(send!.attributes['castellan.durability']).to.equal('disk')
  })

  it('of a refused request have no route beyond the one that it names, and a probe has none', async () => {
    expect((await fetch(`${app.urls.shared}/kprf/nothing`)).status).to.equal(404)
    await fetch(`${app.urls.management}/ready`)
    const names = exporter.getFinishedSpans().map(span => span.name)
    expect(names).to.deep.equal(['GET'])
  })

  it('of a program that uses the library are linked to the span of its own code', async () => {
    const castellan = await openCastellan({ brokers: stage.bootstrap })
    const own = trace.getTracer('shop').startSpan('checkout')
    await context.with(trace.setSpan(context.active(), own), () =>
      castellan.verbs
        .produce([{ topic: 'orders', key: null, value: 'a' }], { partitioner: 'murmur2', deadlineMs: PATIENCE_MS })
        .outcomes()
    )
    own.end()
    await castellan.close()
    const [send] = await finished('send orders')
    expect(send!.links.map(link => isSpan(link.context, own.spanContext()))).to.deep.equal([true])
  })
})
