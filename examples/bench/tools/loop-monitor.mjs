// Loaded into a server by `node --import`. Measures the turns of the event loop and the pauses of the garbage collector, and counts
// writes to sockets. Gives the figures since the last time to everyone who connects to the socket that the URL of this module names.
import { createServer, Socket } from 'node:net'
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import { GCProfiler } from 'node:v8'
import { isMainThread } from 'node:worker_threads'

const RESOLUTION_MS = 1
const NANOS_PER_MS = 1e6

const oldBytes = ({ heapSpaceStatistics }) =>
  heapSpaceStatistics.reduce((sum, { spaceName, spaceUsedSize }) => (spaceName.startsWith('new_') ? sum : sum + spaceUsedSize), 0)

if (isMainThread) {
  const ticks = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  ticks.enable()
  let longestGcMs = 0
  let gcMs = 0
  let collections = 0
  let writes = 0
  let profiler
  const note = entries => {
    for (const { duration } of entries) {
      collections++
      gcMs += duration
      longestGcMs = Math.max(longestGcMs, duration)
    }
  }
  const observer = new PerformanceObserver(list => note(list.getEntries()))
  observer.observe({ entryTypes: ['gc'] })
  for (const name of ['_write', '_writev']) {
    const write = Socket.prototype[name]
    Socket.prototype[name] = function (...args) {
      writes++
      return write.apply(this, args)
    }
  }
  createServer(socket => {
    note(observer.takeRecords())
    const { heapUsed: heapBytes, arrayBuffers: bufferBytes } = process.memoryUsage()
    const young = (profiler?.stop().statistics ?? []).filter(({ gcType }) => gcType === 'Scavenge')
    const promotedBytes = young.reduce((sum, { beforeGC, afterGC }) => sum + oldBytes(afterGC) - oldBytes(beforeGC), 0)
    profiler = new GCProfiler()
    profiler.start()
    const figures = { promotedBytes, longestGcMs, gcMs, collections, writes, heapBytes, bufferBytes }
    socket.end(JSON.stringify({ longestTickMs: ticks.max / NANOS_PER_MS, ...figures }))
    ticks.reset()
    longestGcMs = gcMs = collections = writes = 0
  })
    .listen(new URL(import.meta.url).searchParams.get('socket'))
    .unref()
}
