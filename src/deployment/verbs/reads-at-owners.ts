import { memoryOfRecord } from '../../core/bytes.js'
import { performanceClock } from '../../core/clocks.js'
import { onAbort } from '../../core/ending.js'
import { NAMELESS } from '../../core/record-budget.js'
import type { Failure } from '../../router/messages/request.js'
import { failureOf } from '../../router/requests/failures.js'
import type {
  InstanceName,
  InstanceRead,
  InstanceReadLimits,
  InstanceResult,
  UnknownInstance
} from '../../verbs/verbs.js'
import type { AskOptions, Call } from '../calls/call.js'
import type { AskedRead, SettledRead } from '../calls/instance-calls.js'
import { SILENT_MS } from '../calls/peers.js'
import { CALLS } from '../calls/table.js'
import type { BudgetForPeers } from './budget-for-peers.js'

/** The longest wait of a read; also of one that does not say how long it waits, so that its instance does. */
const LONGEST_WAIT_MS = 600_000
/** How long such a read waits for bytes of the budget. */
const ROOM_MS = 10_000
/** Limit of the records of one forwarded read, because they are copied twice on their way. */
const MAX_READ_BYTES = 4 * 1024 * 1024
/** Pause before another attempt to tell the owner of an instance how a read has ended. */
const PAUSE_MS = 300
/** How often the owner is told until it answers. Later this process was gone for it in any case, and the read has ended. */
const MAX_SETTLES = Math.ceil((1.5 * SILENT_MS) / PAUSE_MS)
/** Limit of reads whose end is told again. */
const MAX_UNTOLD = 1_000

const NOTHING_READ = { type: 'done', value: { records: [], format: '', settle: () => undefined } } as const

/** Calls the owner of an instance. A call without an answer has a result of its own. Never rejects. */
export type AskOwner<Id> = <Question, Answer>(
  to: Id,
  call: Call<Question, Answer>,
  question: Question,
  options?: AskOptions
) => Promise<Answer | UnknownInstance | Failure>

/** The reads of clients of this process whose instances other processes have. Their records count here until the read is settled. */
export class ReadsAtOwners<Id> {
  readonly #askOwner: AskOwner<Id>
  readonly #budget: BudgetForPeers
  /** Whether it is open whether the owner has carried a call out. */
  readonly #isOpen: (result: unknown) => boolean
  #lastId = 0
  /** Reads whose owners have not answered how they have ended. */
  #untold = 0

  constructor(askOwner: AskOwner<Id>, budget: BudgetForPeers, isOpen: (result: unknown) => boolean) {
    this.#askOwner = askOwner
    this.#budget = budget
    this.#isOpen = isOpen
  }

  /** Waits for bytes of the budget before the owner is asked: a client that reads no answers must not have it send more. */
  async read(owner: Id, instance: InstanceName, limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>> {
    const { gone, client = NAMELESS, timeoutMs } = limits
    const endsAt = performanceClock() + Math.min(timeoutMs ?? ROOM_MS, LONGEST_WAIT_MS)
    const leftMs = (): number => Math.max(0, Math.ceil(endsAt - performanceClock()))
    let hasWaited = false
    for (let neededBytes = 1; ; ) {
      if (gone?.aborted) return NOTHING_READ
      hasWaited ||= !this.#budget.isFree(client, neededBytes)
      const isFree = await this.#budget.whenFree(client, neededBytes, leftMs(), gone)
      if (gone?.aborted) return NOTHING_READ
      if (!isFree) return failureOf(this.#budget.refusal(client, neededBytes))
      const waitMs = hasWaited && timeoutMs !== undefined ? leftMs() : timeoutMs
      const result = await this.#ask(owner, instance, { ...limits, timeoutMs: waitMs })
      if (result.type !== 'done') return result
      const taken = this.#taken(client, result.value)
      if (taken !== undefined) return { ...result, value: taken }
      // Meanwhile other answers have taken the memory.
      result.value.settle(0)
      hasWaited = true
      neededBytes = memoryOfRecord(result.value.records[0]!)
      if (leftMs() === 0) return failureOf(this.#budget.refusal(client, neededBytes))
    }
  }

  /** The records for which the client has memory; the next read gets the rest. `undefined`: not even for the first record. */
  #taken(client: string, read: InstanceRead): InstanceRead | undefined {
    const { count, problem, held } = this.#budget.take(client, read.records)
    if (count > 0 || problem === undefined)
      return {
        ...read,
        records: read.records.slice(0, count),
        settle: accepted => {
          held.release()
          read.settle(accepted)
        }
      }
    held.release()
    return undefined
  }

  async #ask(owner: Id, instance: InstanceName, limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>> {
    const id = ++this.#lastId
    const { gone, client = NAMELESS, timeoutMs, maxBytes = MAX_READ_BYTES, formats } = limits
    const settle = (accepted: number): void => void this.#settleAt(owner, { id, accepted })
    const unlisten = onAbort(gone, () => settle(0))
    const bytes = this.#budget.askable(client, Math.min(maxBytes, MAX_READ_BYTES))
    const waitMs = Math.min(timeoutMs ?? LONGEST_WAIT_MS, LONGEST_WAIT_MS)
    const limitMs = timeoutMs === undefined ? undefined : waitMs
    const asked: AskedRead = { instance, id, limits: { timeoutMs: limitMs, maxBytes: bytes, formats } }
    const result = await this.#askOwner(owner, CALLS.instances.read, asked, { waitMs, client: instance.principal })
    unlisten()
    if (result.type === 'done') {
      const { records, format = await this.#formatAt(owner, instance), waitMs } = result.value
      return { ...result, value: { records, format, waitMs, settle } }
    }
    if (this.#isOpen(result)) settle(0)
    return result
  }

  /** Release 0.2.0 does not tell the format of a read. */
  async #formatAt(owner: Id, instance: InstanceName): Promise<string> {
    const settings = await this.#askOwner(owner, CALLS.instances.settingsOf, [instance])
    return settings.type === 'done' ? settings.value.format : ''
  }

  /**
   * Tells the owner how a read has ended. Until then the owner answers no other read of the instance, unless this process
   * is gone for it.
   */
  async #settleAt(to: Id, settled: SettledRead, tries = 1): Promise<void> {
    if (tries === 2) this.#untold++
    // The owner answers nothing.
    const isLost = (await this.#askOwner(to, CALLS.instances.settle, settled)) !== undefined
    const isRepeated = isLost && tries < MAX_SETTLES && (tries > 1 || this.#untold < MAX_UNTOLD)
    if (isRepeated) setTimeout(() => void this.#settleAt(to, settled, tries + 1), PAUSE_MS).unref()
    else if (tries > 1) this.#untold--
  }
}
