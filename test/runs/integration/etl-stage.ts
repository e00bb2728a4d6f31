import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { Castellan } from '../../../src/client.js'
import { Child } from '../../cli/child.js'
import { until } from '../../support/pixy-stage.js'
import type { Stage } from '../../support/stage.js'
import { freshTopic, type TargetCluster } from '../../support/target-cluster.js'
import { type EtlOptions, hasBill } from './etl-options.js'

const PARTITIONS = 3
const PROGRAM = ['--import', 'tsx', 'test/runs/integration/etl-program.ts']
const END = 'end'
const WRITES_EVERY_MS = 300

/** Orders, their bills, and processes that write a bill for each order in transactions. */
export class EtlStage {
  readonly group = freshTopic('etl')
  readonly #stage: Stage<TargetCluster>
  readonly #reader: Castellan
  readonly #orders: string
  readonly #bills: string
  readonly #programs: Child[] = []
  #written = 0

  private constructor(stage: Stage<TargetCluster>, reader: Castellan, orders: string, bills: string) {
    this.#stage = stage
    this.#reader = reader
    this.#orders = orders
    this.#bills = bills
  }

  static async open(stage: Stage<TargetCluster>): Promise<EtlStage> {
    const [orders, bills] = [await stage.topic('orders', PARTITIONS), await stage.topic('bills', PARTITIONS)]
    const reader = await stage.library({ router: { isolationLevel: 'readCommitted' } })
    return new EtlStage(stage, reader, orders, bills)
  }

  start(options: Omit<EtlOptions, 'brokers' | 'orders' | 'bills' | 'group'>): Child {
    const places = { brokers: this.#stage.bootstrap, orders: this.#orders, bills: this.#bills, group: this.group }
    const program = new Child([JSON.stringify({ ...places, ...options })], {}, PROGRAM)
    this.#programs.push(program)
    return this.#stage.keep(program, ({ process: child }) => child.kill('SIGKILL'))
  }

  /** Writes so many orders to each partition. */
  async write(count: number): Promise<void> {
    const values = Array.from({ length: count * PARTITIONS }, (_, at) => this.#written + at)
    this.#written += values.length
    await this.#reader.produceOrThrow(
      values.map(value => ({ topic: this.#orders, partition: value % PARTITIONS, value: String(value) }))
    )
  }

  /** Writes three orders now and then until this settles. */
  async writing<Result>(work: Promise<Result>): Promise<Result> {
    let isOver = false
    const settled = work.finally(() => (isOver = true))
    while (!isOver) {
      await this.write(1)
      await Promise.race([settled, pass(WRITES_EVERY_MS)])
    }
    return settled
  }

  /** The member id of the group's only member. */
  async memberId(): Promise<string | undefined> {
    const groups = await this.#reader.admin.describeGroups([this.group])
    return groups.get(this.group)?.members[0]?.memberId
  }

  /** Resolves when the group has committed that all orders are acknowledged. */
  async allAcknowledged(): Promise<void> {
    await until(async () => {
      const offsets = await this.#reader.admin.offsets(this.group, this.#orders)
      return offsets.every(({ committed, latest }) => committed === latest)
    })
  }

  /** Resolves when a reader of committed records has seen a bill of each order. */
  async allRead(): Promise<void> {
    const missing = new Set(this.#billed)
    for await (const { value } of this.#reader.read(this.#bills, { from: 'earliest', follow: true })) {
      missing.delete(orderOf(String(value)))
      if (missing.size === 0) return
    }
  }

  /** Fails unless each order has one bill in the end, and no bill is of a transaction that a program was told to be aborted. */
  async expectOneBillEach(): Promise<void> {
    await this.allRead()
    await this.allAcknowledged()
    const said = this.#programs.map(({ process: { pid }, lines, stderr }) => `${pid}: ${lines.join('; ')}\n${stderr}`)
    const bills = await this.#readToTheEnd()
    expect(bills.map(orderOf).sort(), said.join('\n')).to.deep.equal(this.#billed.sort())
    const aborted = this.#programs.flatMap(({ process: { pid }, lines }) =>
      lines.flatMap(line => line.match(/^failed (\d+) \S+ no$/)?.[1] ?? []).map(attempt => `${pid}.${attempt}`)
    )
    expect(bills.map(bill => bill.split(' ')[1]!).filter(attempt => aborted.includes(attempt))).to.deep.equal([])
  }

  get #billed(): string[] {
    return Array.from({ length: this.#written }, (_, order) => String(order)).filter(hasBill)
  }

  /** All that is committed now: readers come to an end that is written now when no transaction before it is open. */
  async #readToTheEnd(): Promise<string[]> {
    const ends = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: this.#bills, partition, value: END }))
    await this.#reader.produceOrThrow(ends)
    const values: string[] = []
    let open = PARTITIONS
    for await (const { value } of this.#reader.read(this.#bills, { from: 'earliest', follow: true })) {
      if (String(value) !== END) values.push(String(value))
      else if (--open === 0) break
    }
    return values
  }
}

const orderOf = (bill: string): string => bill.split(' ')[0]!
