import * as layout from '../../../src/kafka/record-batch-layout.js'
import { readBack } from '../../../src/kafka/record-reader.js'
import { bytesText, idOf, valueText } from './record-text.js'
import type { Host } from './world/host.js'
import type { World } from './world/world.js'

/** One attempt to send a record. */
export interface Departure {
  readonly from: string
  readonly to: string
  /** Simulated milliseconds. */
  readonly atMs: number
  /** Producer id, epoch and sequence of its batch: Kafka takes what comes again under the same for the same. */
  readonly numbers: string
}

/**
 * Whether a record may be there twice: it was sent to two clusters, or under other numbers than before, and in between
 * something happened that allows it. Kafka may refuse the old numbers first.
 */
export const isRenumberedFor =
  (allowedAt: () => readonly number[]) =>
  (departures: readonly Departure[]): boolean => {
    const clusters = new Set(departures.map(({ to }) => clusterOf(to)))
    return clusters.size > 1 || allowedAt().some(atMs => areRenumberedSince(atMs, departures))
  }

const clusterOf = (broker: string): string => broker.replace(/-\d+$/, '')

function areRenumberedSince(atMs: number, departures: readonly Departure[]): boolean {
  const before = new Set(departures.filter(one => one.atMs <= atMs).map(({ numbers }) => numbers))
  return before.size > 0 && departures.some(one => one.atMs >= atMs && !before.has(one.numbers))
}

/** Leader epoch and magic number of a batch as producers send it. */
const MARK = Buffer.from('ffffffff02', 'hex')
const NUMBERS = [layout.AT_PRODUCER_ID, layout.AT_RECORD_COUNT] as const

/** Sees what is handed to connections to brokers: which records have left, whether they arrive or not. */
export class Departures {
  readonly #all = new Map<string, Departure[]>()
  readonly #world: World

  constructor(world: World) {
    this.#world = world
    world.network.onSent = (from, to, bytes) => this.#sent(from, to, bytes)
  }

  /** In the order in which it was sent. Empty: not one byte of it was handed to a connection. */
  of(id: string): readonly Departure[] {
    return this.#all.get(id) ?? []
  }

  #sent(from: Host, to: Host, bytes: Buffer): void {
    for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + MARK.length)) {
      const batch = batchAt(bytes, at - layout.AT_LEADER_EPOCH)
      if (batch !== undefined) this.#batchSent(from, to, batch)
    }
  }

  #batchSent(from: Host, to: Host, batch: Buffer): void {
    const numbers = batch.toString('hex', ...NUMBERS)
    const departure = { from: from.name, to: to.name, atMs: this.#world.time.now, numbers }
    for (const { key, value, headers } of readBack(batch)) {
      const id = idOf({ key: bytesText(key), value: valueText(bytesText(value), headers) })
      if (id === undefined) continue
      const before = this.#all.get(id)
      if (before === undefined) this.#all.set(id, [departure])
      else before.push(departure)
    }
  }
}

/** `undefined`: what looks like one is something else. */
function batchAt(bytes: Buffer, start: number): Buffer | undefined {
  if (start < 0 || bytes.readBigInt64BE(start) !== 0n) return undefined
  const end = start + layout.LOG_OVERHEAD_BYTES + bytes.readInt32BE(start + layout.AT_BATCH_LENGTH)
  return end <= bytes.length ? bytes.subarray(start, end) : undefined
}
