import sinon from 'sinon'
import type { ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import type { Claim } from '../../../src/producer/keys/keys.js'
import { failures } from '../../../src/producer/memory/failures.js'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'
import { KeyGateways, type Process } from './key-gateways.js'

const DEADLINE_MS = 10_000
const options = { partitioner: 'crc32', deadlineMs: DEADLINE_MS } as const
const emptyLog = {
  read: async () => ({ entries: [], nextSequence: 0, isAtEnd: true }),
  states: async ({ first }: { first: number }) => ({
    open: [{ sequence: first, destination: 'c/t' }],
    outcomes: new Map(),
    openSinceMs: undefined,
    expiredUpTo: 0
  })
}

export const answer = { status: 200, headers: [['name', 'value']] as const, body: Buffer.from('the answer') }
export const deliveredAt = (offset: number): RecordOutcome => ({
  type: 'delivered',
  partition: 0,
  offset,
  timestampMs: 1
})
export const refused: RecordOutcome = failures.timedOut('it was refused', 'no')

/** Records whose outcomes are not known until the deadline. */
export class OpenRecords implements PendingProduce {
  readonly refused = undefined
  readonly isWaiting = true

  constructor(
    readonly count: number,
    readonly deadlineMs: number
  ) {}

  accepted(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  async outcomes(): Promise<readonly RecordOutcome[]> {
    await new Promise(resolve => setTimeout(resolve, this.deadlineMs))
    return Array.from({ length: this.count }, () => failures.stillPending('kafka has not acknowledged it'))
  }
}

export interface KeySetUp {
  readonly clock: sinon.SinonFakeTimers
  readonly gateways: KeyGateways
  readonly requests: KeyedRequests
}

/** Gateways that share keys, none of which runs yet, and a clock that stands still. To be ended with `requests.end()`. */
export function setUpKeys(names: readonly string[]): KeySetUp {
  const toFake = ['setTimeout', 'clearTimeout', 'setImmediate', 'Date', 'performance'] as const
  const clock = sinon.useFakeTimers({ now: 1_000_000, toFake: [...toFake] })
  const gateways = new KeyGateways(names)
  return { clock, gateways, requests: new KeyedRequests(gateways, clock) }
}

/** Requests with keys at several gateways, and the records that they write there. */
export class KeyedRequests {
  readonly #gateways: KeyGateways
  readonly #clock: sinon.SinonFakeTimers
  readonly #disks = new Map<string, SimulatedDisk>()
  /** The records that were written, each with the gateway. */
  readonly written: string[] = []
  /** The sequence of the next record. */
  sequence = 100

  constructor(gateways: KeyGateways, clock: sinon.SinonFakeTimers) {
    this.#gateways = gateways
    this.#clock = clock
  }

  diskOf(name: string): SimulatedDisk {
    let disk = this.#disks.get(name)
    if (disk === undefined) this.#disks.set(name, (disk = new SimulatedDisk()))
    return disk
  }

  /** Starts a gateway with the journal that it left on its disk. */
  async start(name: string): Promise<Process> {
    const process = this.#gateways.create(name)
    await process.own.opened(emptyLog, this.diskOf(name).directory)
    process.own.openLog = async () => process.own.holder.begin()
    this.#gateways.appear(process)
    return process
  }

  async startAll(): Promise<void> {
    for (const name of this.#gateways.names) await this.start(name)
    await this.#clock.tickAsync(3_000)
  }

  async restart(name: string): Promise<void> {
    this.#gateways.kill(name)
    await this.#clock.tickAsync(1_000)
    await this.start(name)
    await this.#clock.tickAsync(5_000)
  }

  end(): void {
    this.#gateways.close()
    this.#clock.restore()
  }

  at(name: string): Process {
    return this.#gateways.running.get(name)!
  }

  async claim(at: string, asked: { hash: string; fingerprint: string }, waitMs = 100): Promise<Claim> {
    const claiming = this.at(at).keys.claim(asked, waitMs)
    await this.#clock.tickAsync(waitMs + 2_000)
    return claiming
  }

  /** @returns whether the answer could leave soon */
  async settle(key: ClaimedKey, persisted: string): Promise<boolean> {
    let isSettled = false
    key.answered(answer, persisted, () => (isSettled = true))
    await this.#clock.tickAsync(100)
    return isSettled
  }

  /** Produces the records of a request; those that are missing are written. */
  produce(
    at: string,
    key: ClaimedKey,
    values: readonly string[],
    durability: 'disk' | 'memory' = 'disk'
  ): PendingProduce {
    const records = values.map((value): ProduceRecord => ({ topic: 't', key: null, value, headers: [] }))
    return key.produce(records, { ...options, durability }, (missing, tag) => {
      for (const [nth, { value }] of missing.entries()) {
        this.written.push(`${String(value)} at ${at}`)
        if (durability === 'disk') tag.stored(tag.indexOf(nth), this.sequence++)
      }
      return new OpenRecords(missing.length, DEADLINE_MS)
    })
  }
}
