// Plain JavaScript, since servers of a benchmark load it, too.
import { GCProfiler } from 'node:v8'

/**
 * Counts the bytes that this process allocates in V8's heap: what each run of the collector finds, and what is there at the end,
 * without what the run before has left. It costs a line per run of the collector, so it may run beside a measurement.
 */
export class Garbage {
  #profiler = new GCProfiler()
  #usedAtStart = process.memoryUsage().heapUsed

  constructor() {
    this.#profiler.start()
  }

  /** @returns {number} the bytes that were allocated since the start */
  stop() {
    const { statistics } = this.#profiler.stop()
    let allocated = 0
    let left = this.#usedAtStart
    for (const { beforeGC, afterGC } of statistics) {
      allocated += beforeGC.heapStatistics.usedHeapSize - left
      left = afterGC.heapStatistics.usedHeapSize
    }
    return allocated + process.memoryUsage().heapUsed - left
  }
}
