// Loaded into a server by `node --import`. Tells everyone who connects to the socket that the URL of this module names how many
// bytes of its heap were allocated since the last time. Before the first time it does nothing.
import { createServer } from 'node:net'
import { GCProfiler, getHeapStatistics } from 'node:v8'
import { isMainThread } from 'node:worker_threads'

if (isMainThread) {
  let profiler
  let usedBytes = 0
  createServer(socket => {
    const { used_heap_size: used } = getHeapStatistics()
    const collected = (profiler?.stop().statistics ?? []).map(
      ({ beforeGC, afterGC }) => beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize
    )
    const allocatedBytes = collected.reduce((sum, bytes) => sum + bytes, used - usedBytes)
    profiler = new GCProfiler()
    profiler.start()
    usedBytes = getHeapStatistics().used_heap_size
    socket.end(JSON.stringify({ allocatedBytes }))
  })
    .listen(new URL(import.meta.url).searchParams.get('socket'))
    .unref()
}
