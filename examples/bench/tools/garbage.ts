import { Session } from 'node:inspector'

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
