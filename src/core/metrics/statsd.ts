import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/**
 * The type of a StatsD value. A counter (`c`) is the number of events since the last report, a gauge (`g`) is the
 * current value, and a timing (`ms`) is one measurement or a rate.
 */
type StatsdType = 'c' | 'g' | 'ms'

export interface StatsdValue {
  readonly name: string
  readonly value: number
  readonly type: StatsdType
}

/** Returns the values to report. Called once per interval. */
export type StatsdSource = () => Iterable<StatsdValue> | Promise<Iterable<StatsdValue>>

/** A list to which rooms and APIs add their sources of StatsD values. */
export interface StatsdSources {
  add(source: StatsdSource): void
}

/** The address of a StatsD server, and the time between two reports. */
interface StatsdTarget {
  readonly host: string
  readonly port: number
  readonly intervalMs: number
}

/**
 * Sends metrics to a StatsD server by UDP, once per interval. UDP does not tell whether they arrive. While the server
 * is down or its name cannot be resolved, the metrics are lost.
 */
export class StatsdReporter implements StatsdSources {
  readonly #target: StatsdTarget
  readonly #warn: (error: Error, message: string) => void
  readonly #sources: StatsdSource[] = []
  readonly #socket: Socket
  readonly #timer: NodeJS.Timeout
  #hasFailed = false

  /** @param warn called once, when metrics cannot be sent for the first time */
  constructor(target: StatsdTarget, warn: (error: Error, message: string) => void) {
    this.#target = target
    this.#warn = warn
    this.#socket = createSocket(isIPv6(target.host) ? 'udp6' : 'udp4')
    this.#socket.on('error', error => this.#failed(error))
    this.#socket.unref()
    this.#timer = setInterval(() => void this.report(), target.intervalMs)
    this.#timer.unref()
  }

  add(source: StatsdSource): void {
    this.#sources.push(source)
  }

  /** Asks every source for its values and sends them. Never rejects. */
  async report(): Promise<void> {
    const { port, host } = this.#target
    try {
      const values = await Promise.all(this.#sources.map(source => source()))
      const sent = [...toDatagrams(values.flatMap(some => [...some]))].map(
        datagram =>
          new Promise<void>(resolve => this.#socket.send(datagram, port, host, error => resolve(this.#failed(error))))
      )
      await Promise.all(sent)
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  /** Sends a last report. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.report()
    this.#socket.close()
  }

  #failed(error: Error | null): void {
    if (error === null || this.#hasFailed) return
    this.#hasFailed = true
    const { host, port } = this.#target
    this.#warn(error, `metrics cannot be sent to the StatsD server ${host}:${port}`)
  }
}

/** A datagram of this size fits into an Ethernet packet, even through a tunnel, so it is not fragmented. */
export const MAX_DATAGRAM_BYTES = 1_432

/** Joins lines to datagrams. A line that is longer than a datagram is left out. */
export function* toDatagrams(values: Iterable<StatsdValue>): Generator<string> {
  let datagram = ''
  for (const value of values) {
    const line = statsdLine(value)
    if (line === undefined || Buffer.byteLength(line) > MAX_DATAGRAM_BYTES) continue
    if (datagram === '') datagram = line
    else if (Buffer.byteLength(datagram) + 1 + Buffer.byteLength(line) <= MAX_DATAGRAM_BYTES) datagram += `\n${line}`
    else {
      yield datagram
      datagram = line
    }
  }
  if (datagram !== '') yield datagram
}

/**
 * One line of the protocol; `undefined` when the value is not finite.
 *
 *   {name: 'api.success', value: 3, type: 'c'}   =>   api.success:3|c
 */
export function statsdLine({ name, value, type }: StatsdValue): string | undefined {
  if (!Number.isFinite(value)) return undefined
  const number = Number.isInteger(value) ? String(value) : String(Number(value.toFixed(6)))
  return `${name.replace(/[:|@\s]/g, '_')}:${number}|${type}`
}

/** A registry of Prometheus, or the same metrics from elsewhere. */
export interface JsonRegistry {
  getMetricsAsJSON(): Promise<unknown>
}

interface Metric {
  readonly name: string
  readonly type: string
  readonly values: readonly StatsdReading[]
}

interface StatsdReading {
  readonly labels: Readonly<Record<string, string | number | undefined>>
  readonly value: number
  readonly metricName?: string
}

/**
 * Reports all metrics of a registry. The values of labels are appended to the name, in the order of the labels' names.
 * A counter is reported as its increase since the last report. A histogram is reported as its count and its sum.
 *
 *   castellan_http_requests_total{api="kprf",method="POST",status="200"}   =>   castellan.http_requests_total.kprf.POST.200
 */
export function registrySource(registry: JsonRegistry): StatsdSource {
  const totals = new Map<string, number>()
  const toValue = (metric: Metric, reading: StatsdReading): StatsdValue => {
    const name = nameOf(reading.metricName ?? metric.name, reading.labels)
    if (metric.type === 'gauge') return { name, value: reading.value, type: 'g' }
    const before = totals.get(name) ?? 0
    totals.set(name, reading.value)
    return { name, value: reading.value - before, type: 'c' }
  }
  return async () => {
    const metrics = (await registry.getMetricsAsJSON()) as Metric[]
    return metrics.flatMap(metric =>
      metric.values.filter(reading => !isBucket(reading)).map(reading => toValue(metric, reading))
    )
  }
}

const isBucket = ({ metricName = '' }: StatsdReading): boolean => metricName.endsWith('_bucket')

/** The value of a label without dots, which separate the parts of a name. */
const partOf = (value: string | number | undefined): string => String(value).replace(/\./g, '_')

function nameOf(name: string, labels: StatsdReading['labels']): string {
  const parts = Object.keys(labels)
    .sort()
    .map(label => partOf(labels[label]))
  return [name.replace(/^castellan_/, 'castellan.'), ...parts].join('.')
}
