import { Session } from 'node:inspector'
import { GCProfiler } from 'node:v8'

const SAMPLED_BYTES = 4096
const SITES = 40
const FRAMES = 3

/** A node of the profiler's tree of calls. */
interface Site {
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly selfSize: number
  readonly children: readonly Site[]
}

/**
 * Counts the bytes that this process allocates in V8's heap: what each run of the collector finds, and what is there at the end,
 * without what the run before has left. It costs a line per run of the collector, so it may run beside a measurement.
 */
export class Garbage {
  readonly #profiler = new GCProfiler()
  readonly #usedAtStart = process.memoryUsage().heapUsed

  constructor() {
    this.#profiler.start()
  }

  /** @returns the bytes that were allocated since the start */
  stop(): number {
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

/**
 * Samples which functions allocate, garbage included, when BENCH_SITES is set: it slows the process down, so its other figures do
 * not count then.
 */
export class AllocationSites {
  readonly #session: Session | undefined

  constructor() {
    if (process.env.BENCH_SITES === undefined) return
    this.#session = new Session()
    this.#session.connect()
    const flags = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true }
    this.#session.post('HeapProfiler.startSampling', { samplingInterval: SAMPLED_BYTES, ...flags })
  }

  /** Prints the bytes of each site for each of the `counted` items. */
  print(counted: number): void {
    this.#session?.post('HeapProfiler.stopSampling', (_, { profile }) => {
      const bytes = new Map<string, number>()
      addUp(profile.head as Site, [], bytes)
      const sorted = [...bytes].sort(([, one], [, other]) => other - one).slice(0, SITES)
      for (const [site, size] of sorted) process.stderr.write(`${(size / counted).toFixed(1).padStart(8)} ${site}\n`)
    })
  }
}

function addUp({ callFrame, selfSize, children }: Site, callers: readonly string[], bytes: Map<string, number>): void {
  const { functionName, url, lineNumber } = callFrame
  const frames = [`${functionName}:${url.replace(/^.*\//, '')}:${lineNumber + 1}`, ...callers].slice(0, FRAMES)
  const site = frames.join(' < ')
  if (selfSize > 0) bytes.set(site, (bytes.get(site) ?? 0) + selfSize)
  for (const child of children) addUp(child, frames, bytes)
}
