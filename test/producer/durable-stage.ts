import sinon from 'sinon'
import { defaultLogger, type MetricsLogger } from '../../src/core/metrics/metrics-logger.js'
import { type Logger, type ProduceRecord, type RecordOutcome, silentLogger } from '../../src/core/model.js'
import { DurableBacklog } from '../../src/producer/disk/durable-backlog.js'
import { DurableDelivery } from '../../src/producer/disk/durable-delivery.js'
import type { DurablePendingProduce } from '../../src/producer/disk/record-outcomes.js'
import { LocalKeys } from '../../src/producer/keys/local-keys.js'
import { idempotencySettings } from '../../src/producer/keys/settings.js'
import { DurableLog } from '../../src/producer/log/durable-log.js'
import { type LogCallName, LogCore, type LogHost } from '../../src/producer/log/log-host.js'
import type { DurableLogDeps, OpenDurableLog } from '../../src/producer/log/open-durable-log.js'
import { type WalSettings, walSettings } from '../../src/producer/log/settings.js'
import { Losses } from '../../src/producer/memory/losses.js'
import { type DeliverySettings, topicSettingsOf } from '../../src/producer/memory/settings.js'
import { ReceiptKey } from '../../src/producer/receipts/receipt-ids.js'
import { type ReceiptHolder, Receipts } from '../../src/producer/receipts/receipts.js'
import { defaultReceiptSettings, type ReceiptSettings } from '../../src/producer/receipts/settings.js'
import type { RouterMessage } from '../../src/router/messages/operations.js'
import { FakeRouter } from '../support/fake-router.js'
import { worldNow } from '../support/held-amounts.js'
import { InlineLogHost } from '../support/inline-log-host.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { storeOptions } from './log/stage.js'

export interface DurableStageOptions {
  readonly topics?: Record<string, number>
  readonly delivery?: Partial<DeliverySettings>
  readonly wal?: Partial<WalSettings>
  readonly log?: Logger
  readonly metrics?: MetricsLogger
  readonly holdsRecords?: (directory: string) => boolean
  readonly retentionOf?: (topic: string) => Promise<number | undefined>
  readonly receipts?: Partial<ReceiptSettings>
}

/** What the log's thread answers late; the rest is for starts and checks. */
const LATE: ReadonlySet<LogCallName> = new Set<LogCallName>(['commit', 'read', 'note', 'deadLetter'])

const never = new Promise<never>(() => undefined)

/** A gateway's delivery from the log, which may be killed at any time; the disk and Kafka stay. Fake clock, fake disk. */
export class DurableStage {
  readonly clock = sinon.useFakeTimers({ now: 1_000_000 })
  readonly disk = new SimulatedDisk()
  readonly router: FakeRouter
  clusterId = 'cluster-1'
  delivery!: DurableDelivery
  receipts!: Receipts
  losses!: Losses
  /** What the next start sets for receipts. */
  receiptLimits: Partial<ReceiptSettings>
  backlog!: DurableBacklog
  /** How far the clock of the machine was set back. */
  setBackMs = 0
  /** Reads of the log. */
  reads = 0
  /** What an earlier process has left waits for `queue.drain()`. */
  drainsLater = false
  /** How long answers of the log's thread are on their way. */
  hostLatencyMs = 0
  /** What the log's thread fails to do. */
  readonly failing = new Set<LogCallName>()
  keys!: LocalKeys
  /** Starts do not open the log: the first record does, or the test. */
  opensLater = false
  /** What the next attempts to open the log fail with. */
  readonly openErrors: Error[] = []
  /** Times that opening was tried. */
  opens = 0
  /** What was told when the log broke. */
  readonly broken: Error[] = []
  /** Says that the log is broken. */
  breakLog: (error: Error) => void = () => undefined
  /** Why no broker can be reached. */
  awayBecause: Error | undefined
  readonly #options: DurableStageOptions
  #isAlive = { now: false }

  constructor(options: DurableStageOptions = {}) {
    this.#options = options
    this.receiptLimits = options.receipts ?? {}
    this.router = new FakeRouter(options.topics ?? {}, topicSettingsOf(options.delivery))
  }

  /** A process starts. */
  async start(): Promise<void> {
    const { delivery, wal, log = silentLogger, metrics = defaultLogger, holdsRecords, retentionOf } = this.#options
    const isAlive = { now: true }
    this.#isAlive = isAlive
    worldNow.fate = () => () => !isAlive.now
    this.receipts = new Receipts(new ReceiptKey(Buffer.alloc(32, 7)))
    const limits = { ...defaultReceiptSettings, ...this.receiptLimits }
    this.keys = new LocalKeys({
      ...idempotencySettings.parse({}),
      now: () => Date.now(),
      newSalt: () => 7,
      onFailure: error => {
        throw error
      }
    })
    this.backlog = new DurableBacklog({
      keys: this.keys,
      receipts: limits.maxBytes === 0 ? undefined : { limits, receipts: this.receipts, keepSecret: () => undefined },
      settings: { ...walSettings.parse({}), segmentBytes: 64 * 1024, ...wal },
      log,
      metrics,
      now: () => Date.now() - this.setBackMs,
      clock: () => performance.now(),
      drainsLater: this.drainsLater,
      onBroken: error => this.broken.push(error),
      open: async (settings, deps) => this.#open(settings, deps, isAlive),
      holdsRecords
    })
    const tell = (message: RouterMessage): void => {
      if (isAlive.now) this.router.tell(message)
    }
    this.losses = new Losses({ log, metrics, clock: () => performance.now() })
    this.delivery = new DurableDelivery({
      losses: this.losses,
      cluster: 'default',
      backlog: this.backlog,
      router: { path: 'router', tell, stop: () => undefined },
      settings: delivery,
      clock: () => performance.now(),
      now: () => Date.now(),
      random: () => 0.5,
      log,
      metrics,
      awayBecause: () => this.awayBecause,
      retentionOf
    })
    this.delivery.clusterChanged({ before: undefined, now: this.clusterId })
    if (!this.opensLater) await this.backlog.open()
  }

  /** The process is gone at once: what it has told brokers arrives there, what it has written to files is there. */
  kill(): void {
    this.#isAlive.now = false
    this.router.tables.clear()
  }

  async restart(): Promise<void> {
    this.kill()
    await this.start()
  }

  #open(settings: WalSettings, deps: DurableLogDeps, isAlive: { readonly now: boolean }): OpenDurableLog {
    this.opens++
    const error = this.openErrors.shift()
    if (error !== undefined) throw error
    this.breakLog = deps.onBroken
    const reports: { fields: object; message: string }[] = []
    const { directory: _, ...limits } = settings
    const options = storeOptions(this.disk, reports, {
      ...limits,
      syncPuts: true,
      clock: () => performance.now(),
      now: () => Date.now(),
      receipts: deps.receipts
    })
    const store = new LogCore(options, settings.maxDeadLetterBytes)
    const inline = new InlineLogHost(store)
    const host: LogHost = {
      call: (name, ...args) => {
        if (!isAlive.now) return never
        if (name === 'read') this.reads++
        if (this.failing.has(name)) return Promise.reject(new Error('EIO'))
        const answer = inline.call(name, ...args)
        if (!LATE.has(name) || this.hostLatencyMs === 0) return answer
        return answer.then(
          value => new Promise(resolve => setTimeout(() => isAlive.now && resolve(value), this.hostLatencyMs))
        )
      }
    }
    const { onTaken } = deps
    const log = new DurableLog({
      ...settings,
      syncPuts: true,
      host,
      now: () => Date.now(),
      onTaken,
      logId: store.logId
    })
    const { recovered: report, notes } = store
    const directory = whileAlive(options.directory, isAlive)
    return { log, path: '/simulated', directory, report, notes, close: () => log.close() }
  }

  /** @param deadlineMs 0: nobody waits for outcomes */
  send(records: ProduceRecord | readonly ProduceRecord[], deadlineMs = 0, principal = 'anonymous'): SentToDisk {
    const list = Array.isArray(records) ? records : [records as ProduceRecord]
    const options = { partitioner: 'murmur2', deadlineMs, durability: 'disk' } as const
    const client = principal === 'anonymous' ? undefined : principal
    const holder: ReceiptHolder = { principal, client, receipt: undefined }
    const pendingProduce = this.delivery.accept(list, options, holder) as DurablePendingProduce
    const sent: SentToDisk = {
      holder,
      refused: pendingProduce.refused,
      isAccepted: false,
      lateRefusals: undefined,
      outcomes: undefined
    }
    void pendingProduce.accepted().then(refusals => Object.assign(sent, { isAccepted: true, lateRefusals: refusals }))
    void pendingProduce.outcomes().then(outcomes => (sent.outcomes = outcomes))
    return sent
  }

  async pass(milliseconds: number): Promise<void> {
    await this.clock.tickAsync(milliseconds)
  }

  /** Fails the test when the log broke and the test did not take note of it. */
  restore(): void {
    if (this.#isAlive.now) void this.delivery.close(0)
    this.clock.tick(0)
    this.clock.restore()
    worldNow.fate = () => () => false
    if (this.broken.length > 0) throw this.broken[0]
  }
}

/** A directory in which nothing changes any more when its process is dead. */
function whileAlive<Target extends object>(target: Target, isAlive: { readonly now: boolean }): Target {
  return new Proxy(target, {
    get: (of, name) => {
      const member = Reflect.get(of, name) as unknown
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        if (!isAlive.now) return undefined
        const result = member.apply(of, args) as unknown
        return name === 'open' || name === 'directory' ? result && whileAlive(result as object, isAlive) : result
      }
    }
  })
}

/** A request on its way to the disk and to Kafka. */
export interface SentToDisk {
  readonly refused: DurablePendingProduce['refused']
  readonly holder: ReceiptHolder
  isAccepted: boolean
  lateRefusals: DurablePendingProduce['refused']
  outcomes: readonly RecordOutcome[] | undefined
}
