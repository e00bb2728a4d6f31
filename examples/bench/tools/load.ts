import { answerParent } from './child.js'
import { getRequest, postRequest } from './http-connection.js'
import { HttpLoad, type HttpLoadCounts } from './http-load.js'
import { readProcessStats } from './process-stats.js'

export interface LoadRun {
  readonly port: number
  readonly path: string
  /** Absent: the request is a GET. */
  readonly body?: string | undefined
  /** Of the body; default: JSON. */
  readonly type?: string | undefined
  /** Further header lines. */
  readonly headers?: readonly string[] | undefined
  /** Authority of the server's certificate; absent: no TLS. */
  readonly ca?: string | undefined
  readonly connections: number
  readonly ratePerSecond?: number | undefined
  readonly givesUp?: boolean | undefined
  /** The server, whose CPU and memory are read at the edges of the measured window. */
  readonly pid: number
  /** Further processes whose CPU is read. */
  readonly others?: readonly number[] | undefined
  readonly warmUpMs: number
  readonly measureMs: number
}
export interface LoadReport extends HttpLoadCounts {
  readonly seconds: number
  /** The measured window, epoch milliseconds. */
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly cpuMicros: number
  /** Of {@link LoadRun.others}, in their order. */
  readonly othersCpuMicros: readonly number[]
  /** Of the load generator itself. */
  readonly ownCpuMicros: number
  readonly rssMaxBytes: number
  /** Answers with a 2xx over the whole run, warm-up and the last answers included: what must be in the log. */
  readonly acceptedInAll: number
  readonly answeredInAll: number
}

const HOST = '127.0.0.1'
const RSS_SAMPLE_MS = 100

const accepted = (counts: HttpLoadCounts): number =>
  counts.statuses.reduce((sum, [status, answers]) => sum + (status >= 200 && status < 300 ? answers : 0), 0)

/** Steady, and comparable between processes. */
const epochMs = (): number => performance.timeOrigin + performance.now()

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** Warm-up, measured window, rest; the server is read in this process, so that the edges fall together. */
async function run({ path, body, type, headers, pid, others = [], warmUpMs, measureMs, ...where }: LoadRun) {
  const request = body === undefined ? getRequest(path, headers) : postRequest(path, Buffer.from(body), headers, type)
  const load = new HttpLoad({ host: HOST, request, ...where })
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
    answeredInAll: warmUp.answered + whole.answered + whole.lost
  } satisfies LoadReport
}

answerParent({ start: () => ({}), run })
