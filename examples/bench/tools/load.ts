import { answerParent } from './child.js'
import { getRequest, postRequest } from './http-connection.js'
import { HttpLoad, type HttpLoadCounts, NUMBER_DIGITS } from './http-load.js'
import { readProcessStats } from './process-stats.js'

export interface LoadRun {
  readonly port: number
  readonly path: string
  /** Absent: the request is a GET. */
  readonly body?: string | undefined
  /** Default: UTF-8. */
  readonly bodyEncoding?: 'base64' | undefined
  /** Content type of the body; default: JSON. */
  readonly type?: string | undefined
  /** Further header lines. */
  readonly headers?: readonly string[] | undefined
  /** Certificate authority of the server's certificate. Absent: no TLS. */
  readonly ca?: string | undefined
  /** Each request has an `Idempotency-Key` of its own. */
  readonly keyed?: boolean | undefined
  readonly connections: number
  readonly ratePerSecond?: number | undefined
  readonly givesUp?: boolean | undefined
  /** The process id of the server. Its CPU time and memory are read at the beginning and end of the measured window. */
  readonly pid: number
  /** Ids of further processes whose CPU time is read. */
  readonly others?: readonly number[] | undefined
  readonly warmUpMs: number
  readonly measureMs: number
}
export interface LoadReport extends HttpLoadCounts {
  readonly seconds: number
  /** Start of the measured window, in epoch milliseconds. */
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly cpuMicros: number
  /** CPU time of {@link LoadRun.others}, in the same order. */
  readonly othersCpuMicros: readonly number[]
  /** CPU time of the load generator itself. */
  readonly ownCpuMicros: number
  readonly rssMaxBytes: number
  /**
   * The number of answers with a 2xx status in the whole run, including warm-up and end. The log must have their
   * records.
   */
  readonly acceptedInAll: number
  readonly answeredInAll: number
  /** Requests in flight on connections that broke, in the whole run. */
  readonly lostInAll: number
}

const HOST = '127.0.0.1'
const KEY = '0'.repeat(NUMBER_DIGITS)
const RSS_SAMPLE_MS = 100

const accepted = (counts: HttpLoadCounts): number =>
  counts.statuses.reduce((sum, [status, answers]) => sum + (status >= 200 && status < 300 ? answers : 0), 0)

/** The current time. It is monotonic, and comparable between processes. */
const epochMs = (): number => performance.timeOrigin + performance.now()

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/**
 * Runs the warm-up, the measured window and the end of the load. This process also reads the server's figures, at the
 * beginning and end of the window.
 */
async function run({
  path,
  body,
  bodyEncoding,
  type,
  headers = [],
  keyed,
  pid,
  others = [],
  warmUpMs,
  measureMs,
  ...where
}: LoadRun) {
  const all = keyed ? [...headers, `Idempotency-Key: ${KEY}`] : headers
  const request =
    body === undefined ? getRequest(path, all) : postRequest(path, Buffer.from(body, bodyEncoding), all, type)
  const numberAt = keyed ? request.indexOf(KEY) : undefined
  const load = new HttpLoad({ host: HOST, request, numberAt, ...where })
  let rssMaxBytes = 0
  const sampler = setInterval(() => {
    rssMaxBytes = Math.max(rssMaxBytes, readProcessStats(pid).rssBytes)
  }, RSS_SAMPLE_MS)
  await load.start()
  await sleep(warmUpMs)
  const warmUp = load.counts()
  load.mark()
  const before = [pid, process.pid, ...others].map(readProcessStats)
  const startedAtMs = epochMs()
  await sleep(measureMs)
  const endedAtMs = epochMs()
  const measured = load.counts()
  const after = [pid, process.pid, ...others].map(readProcessStats)
  const [cpuMicros, ownCpuMicros, ...othersCpuMicros] = after.map(
    (stats, at) => stats.cpuMicros - before[at]!.cpuMicros
  )
  await load.stop()
  clearInterval(sampler)
  const whole = load.counts()
  return {
    ...measured,
    seconds: (endedAtMs - startedAtMs) / 1000,
    startedAtMs,
    endedAtMs,
    cpuMicros: cpuMicros!,
    othersCpuMicros,
    ownCpuMicros: ownCpuMicros!,
    rssMaxBytes: Math.max(rssMaxBytes, after[0]!.rssBytes),
    acceptedInAll: accepted(warmUp) + accepted(whole),
    answeredInAll: warmUp.answered + whole.answered + whole.lost,
    lostInAll: warmUp.lost + whole.lost
  } satisfies LoadReport
}

answerParent({ start: () => ({}), run })
