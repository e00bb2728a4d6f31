/**
 * What a StatsD server is told: a counter (`c`) is told what came since the last time, a gauge (`g`) what is, and a timing
 * (`ms`) one measurement.
 */
export type StatsdType = 'c' | 'g' | 'ms'

export interface StatsdValue {
  readonly name: string
  readonly value: number
  readonly type: StatsdType
  /** It is about all processes that serve together, each of which tells the same. */
  readonly isOfAll?: boolean
}

/**
 * One line of the protocol; `undefined` for what has no finite value.
 *
 *   {name: 'api.success', value: 3, type: 'c'}   =>   api.success:3|c
 */
export function statsdLine({ name, value, type }: StatsdValue): string | undefined {
  if (!Number.isFinite(value)) return undefined
  const number = Number.isInteger(value) ? String(value) : String(Number(value.toFixed(6)))
  return `${name.replace(/[:|@\s]/g, '_')}:${number}|${type}`
}

/** What fits a packet of Ethernet with some room for tunnels, so that none of it is cut in two. */
export const MAX_DATAGRAM_BYTES = 1_432

/** Puts lines together to datagrams. A line that is longer than a datagram is left out. */
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
