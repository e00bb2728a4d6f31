import { getHeapStatistics } from 'node:v8'
import { OverloadedError } from '../../core/errors.js'
import { type Cell, counterFamily, gaugeFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import { type Logger, type MonotonicClock, SECOND_MS } from '../../core/model.js'
import type { HttpSettings } from './settings.js'

const SAMPLE_MS = 100
/** The event loop is judged once per this time, by the least delay measured: a single pause is no overload. */
const JUDGED_EVERY_MS = 1_000
const MIN_SAMPLES = 2
/** The refused share of requests changes by this much with each judgement. */
const STEP = 0.25
/** The delay of the event loop is normal again below this share of its limit. */
const CALM = 0.5
/** When the used share of the heap is this far below its limit, the heap has recovered. */
const HEAP_SLACK = 0.1

export type LoadLimits = Pick<HttpSettings, 'maxEventLoopDelayMs' | 'maxHeapShare'>

export interface LoadShedderDeps {
  readonly metrics: PrometheusMetrics
  readonly log: Logger
  readonly clock: MonotonicClock
  /** Used share of the heap's limit. Default: that of this process. */
  readonly heapShare?: () => number
}

/** How busy the process is, for the status page. */
export interface LoadView {
  /** The last judged delay of the event loop; `undefined`: no requests come, so it is not watched. */
  readonly eventLoopDelayMs: number | undefined
  readonly maxEventLoopDelayMs: number
  /** The share of requests that is refused because the event loop is late. */
  readonly refusedShare: number
  readonly heapShare: number
  readonly maxHeapShare: number
  readonly isHeapFull: boolean
}

/**
 * Watches the delay of the event loop and the heap, and has requests refused before the process suffers:
 *
 *   - the event loop was late by more than the limit all the time for a second: a share of the requests, which grows
 *     every
 *     second, and shrinks again when it is late by less than half of the limit;
 *   - the heap is nearly full: all requests, until it is well below the limit.
 *
 * It watches while requests come.
 */
export class LoadShedder {
  readonly #limits: LoadLimits
  readonly #log: Logger
  readonly #clock: MonotonicClock
  readonly #heapShare: () => number
  readonly #delay: Cell
  readonly #shed: Cell
  #ticker: NodeJS.Timeout | undefined
  #dueAt = 0
  #judgedAt = 0
  #samples = 0
  #leastDelayMs = Number.POSITIVE_INFINITY
  /** The least share that was measured: higher values include garbage. */
  #leastHeapShare = Number.POSITIVE_INFINITY
  #isHeapFull = false
  /** The share of requests that is refused because of the event loop. */
  #share = 0
  /** The sum of shares since the last refusal; at 1 a request is refused. */
  #owed = 0
  /** Whether requests have come since the last judgement. */
  #isAsked = false

  constructor(limits: LoadLimits, { metrics: { registry }, log, clock, heapShare = shareOfHeap }: LoadShedderDeps) {
    this.#limits = limits
    this.#log = log
    this.#clock = clock
    this.#heapShare = heapShare
    const delay = gaugeFamily(
      'castellan_event_loop_delay_seconds',
      'Least delay of the event loop within the last second in which requests came'
    )
    const shed = counterFamily(
      'castellan_http_shed_requests_total',
      'Requests refused because the event loop was late or the heap nearly full'
    )
    this.#delay = registerFamily(registry, delay).series({})
    this.#shed = registerFamily(registry, shed).series({})
  }

  view(): LoadView {
    const { maxEventLoopDelayMs, maxHeapShare } = this.#limits
    return {
      eventLoopDelayMs: this.#ticker === undefined ? undefined : this.#delay.value * SECOND_MS,
      maxEventLoopDelayMs,
      refusedShare: this.#share,
      heapShare: this.#heapShare(),
      maxHeapShare,
      isHeapFull: this.#isHeapFull
    }
  }

  /** The reason to refuse a new request, if there is one. To be called once per request. */
  refusal(): OverloadedError | undefined {
    this.#isAsked = true
    if (this.#ticker === undefined) this.#start()
    if (!this.#isHeapFull && this.#share === 0) return undefined
    this.#owed += this.#isHeapFull ? 1 : this.#share
    if (this.#owed < 1) return undefined
    this.#owed--
    this.#shed.value++
    return this.#error
  }

  get #error(): OverloadedError {
    const { maxEventLoopDelayMs, maxHeapShare } = this.#limits
    if (this.#isHeapFull) {
      const text = `the heap of the process is more than ${Math.round(maxHeapShare * 100)} % full`
      return new OverloadedError(`${text} (advanced.http.maxHeapShare)`, 'overloaded', 'advanced.http.maxHeapShare')
    }
    return new OverloadedError(
      `the event loop of the process is late by more than ${maxEventLoopDelayMs} ms (advanced.http.maxEventLoopDelayMs)`,
      'overloaded',
      'advanced.http.maxEventLoopDelayMs'
    )
  }

  #start(): void {
    this.#ticker = setInterval(() => this.#sample(), SAMPLE_MS)
    this.#ticker.unref()
    this.#begin(this.#clock())
    this.#dueAt = this.#judgedAt + SAMPLE_MS
  }

  #begin(nowMs: number): void {
    this.#judgedAt = nowMs
    this.#samples = 0
    this.#leastDelayMs = this.#leastHeapShare = Number.POSITIVE_INFINITY
    this.#isAsked = false
  }

  #sample(): void {
    const nowMs = this.#clock()
    this.#leastDelayMs = Math.min(this.#leastDelayMs, Math.max(0, nowMs - this.#dueAt))
    this.#leastHeapShare = Math.min(this.#leastHeapShare, this.#heapShare())
    this.#dueAt = nowMs + SAMPLE_MS
    this.#samples++
    if (nowMs - this.#judgedAt >= JUDGED_EVERY_MS && this.#samples >= MIN_SAMPLES) this.#judge(nowMs)
  }

  #judge(nowMs: number): void {
    const wasShedding = this.#isShedding
    this.#delay.value = this.#leastDelayMs / SECOND_MS
    this.#judgeEventLoop(this.#leastDelayMs)
    this.#judgeHeap(this.#leastHeapShare)
    if (this.#isShedding !== wasShedding) this.#tell()
    if (!this.#isAsked && !this.#isShedding) this.close()
    this.#begin(nowMs)
  }

  get #isShedding(): boolean {
    return this.#isHeapFull || this.#share > 0
  }

  #judgeEventLoop(delayMs: number): void {
    const { maxEventLoopDelayMs } = this.#limits
    if (maxEventLoopDelayMs === 0) return
    if (delayMs > maxEventLoopDelayMs) this.#share = Math.min(1, this.#share + STEP)
    else if (delayMs < maxEventLoopDelayMs * CALM) this.#share = Math.max(0, this.#share - STEP)
  }

  #judgeHeap(share: number): void {
    const { maxHeapShare } = this.#limits
    if (maxHeapShare >= 1) return
    this.#isHeapFull = share > (this.#isHeapFull ? maxHeapShare - HEAP_SLACK : maxHeapShare)
  }

  #tell(): void {
    if (this.#isShedding) this.#log.warn({}, `requests are refused: ${this.#error.message}`)
    else this.#log.info({}, 'requests are not refused any more: the process has recovered')
  }

  /** Stops watching, until the next request. */
  close(): void {
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }
}

function shareOfHeap(): number {
  const { used_heap_size: usedBytes, heap_size_limit: limitBytes } = getHeapStatistics()
  return usedBytes / limitBytes
}
