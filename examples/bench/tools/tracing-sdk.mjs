import { isMainThread } from 'node:worker_threads'
import { BatchSpanProcessor, NodeTracerProvider, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node'

/** Throws spans away, as a collector that costs nothing. */
const exporter = {
  export: (_spans, done) => done({ code: 0 }),
  shutdown: async () => undefined
}
const percent = Number(new URL(import.meta.url).searchParams.get('percent'))
const provider = new NodeTracerProvider({
  sampler: new TraceIdRatioBasedSampler(percent / 100),
  spanProcessors: [new BatchSpanProcessor(exporter, { maxQueueSize: 100_000, maxExportBatchSize: 1_000 })]
})
if (isMainThread) provider.register()
