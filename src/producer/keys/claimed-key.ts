import type { ProduceRecord, RecordOutcome } from '../../core/model.js'
import type { Acceptor, ProduceOptions } from '../memory/delivery.js'
import { failures } from '../memory/failures.js'
import type { KeyTag, PendingProduce } from '../memory/pending-produce.js'
import type { ReceiptHolder, RecordPlaces } from '../receipts/receipts.js'
import type { KeptAnswer, KeyName } from './key-frames.js'
import { AttachedProduce, type GivenReceipt, KeyedRecords, type StoredRecords } from './keyed-records.js'
import type { LoggedRecords } from './logged-records.js'

/**
 * Outcome of a request with a key: its answer; `open`: its records were accepted, and their outcome is not known;
 * `free`: none of its records was accepted, and the key can be used again.
 */
export type KeyOutcome = KeptAnswer | 'open' | 'free'

export interface SettlingKey {
  /** The answer for the key may leave. */
  settled(): void
}
const NOT_ANSWERED: SettlingKey = { settled: () => undefined }

/** Objects that all requests with keys share. */
interface ClaimParts {
  readonly logged: LoggedRecords
  /** Ends a claim. */
  settle(records: KeyedRecords, outcome: KeyOutcome, settling: SettlingKey): void
}

/** One letter for each record of the request, as `persistedText` has them. */
const LETTERS = /^[ynup]+$/
const CERTAIN = /^(?:no|[yn]+)$/
const CERTAIN_OR_PENDING = /^(?:no|[ynp]+)$/
/** What most answers say of their records. */
const PENDING = 'pending'

/** A request that has claimed its key: it produces its records, and then has an answer. */
export class ClaimedKey {
  readonly #records: KeyedRecords
  readonly #keys: ClaimParts
  #given = 0
  /** The last call whose records are all accepted in memory, and whose outcomes are not followed yet. */
  #unfollowed: CallTag | undefined
  #isEnded = false
  /** Whether a receipt that is given now has all records of the request: an earlier one has brought none of them. */
  isWhole = true

  constructor(records: KeyedRecords, keys: ClaimParts) {
    this.#records = records
    this.#keys = keys
    records.given(undefined)
  }

  /** All records of the request are on disk. A request that comes again may get the same receipt. */
  given(receipt: GivenReceipt): void {
    this.#records.given(receipt)
  }

  /**
   * Produces records of the request, except those that were accepted when the request came before.
   *
   * @param acceptor takes those that are missing
   * @param giver called when no record is missing, with those that are in the durable log
   * @param places which records of the request these are; absent: those that follow the last ones
   */
  produce(
    sent: readonly ProduceRecord[],
    options: ProduceOptions,
    acceptor: Acceptor,
    holder?: ReceiptHolder,
    giver?: { giveReceipt?(holder: ReceiptHolder, stored: StoredRecords): void },
    places?: RecordPlaces
  ): PendingProduce {
    const from = this.#given
    const count = places?.count ?? sent.length
    this.#given += count
    const records = this.#isEnded ? refusedRecords(this.#records.key, from, count) : this.#records
    const call = new CallTag(records, this.#keys.logged, from, places?.indexes)
    // A request that is answered without outcomes gets the same answer when it comes again.
    if (options.answeredBy === undefined && options.deadlineMs > 0) records.isAwaited = true
    if (options.durability === 'disk') this.#keys.logged.begin()
    const missing = missingOf(records, call, sent.length)
    if (missing === undefined) {
      const all = acceptor.accept(sent, options, holder, call)
      this.#note(all, options, call, sent.length)
      return all
    }
    const indexes = sent.map((_, at) => call.indexOf(at))
    if (missing.length === 0) {
      const stored = records.storedAt(indexes)
      if (stored !== undefined && holder !== undefined) giver?.giveReceipt?.(holder, stored)
      return new AttachedProduce(records, indexes, options, undefined)
    }
    const missingIndexes = missing.map(at => indexes[at]!)
    const tag = new CallTag(records, this.#keys.logged, 0, missingIndexes)
    this.isWhole = false
    const again = missing.map(at => sent[at]!)
    const rest = acceptor.accept(again, options, holder, tag)
    this.#note(rest, options, tag, missing.length)
    return new AttachedProduce(records, indexes, options, rest)
  }

  /** Notes outcomes, so that the request can be answered when it comes again. */
  #note(rest: PendingProduce, options: ProduceOptions, tag: CallTag, count: number): void {
    const isInMemory = options.durability !== 'disk'
    // Most requests are answered without waiting for outcomes. They only matter for a key that stays open.
    if (isInMemory && options.answeredBy !== undefined && rest.isWaiting !== true && rest.refused === undefined) {
      for (let at = 0; at < count; at++) tag.accepted(at)
      tag.pending = rest
      tag.before = this.#unfollowed
      this.#unfollowed = tag
    } else this.#follow(rest, isInMemory, tag)
  }

  #follow(rest: PendingProduce, isInMemory: boolean, tag: CallTag): void {
    const note = (outcomes: readonly RecordOutcome[] = []): void =>
      outcomes.forEach((outcome, at) => tag.settledLate(at, outcome))
    // The answer may leave in the call in which the last outcome comes: a request that begins then has to find them.
    if (isInMemory && rest.whenSettled !== undefined) rest.whenSettled(note, true)
    else if (isInMemory) void rest.outcomes().then(note)
    // Records in the log are known by their sequences.
    else
      void rest.accepted().then(refused => refused?.forEach((failure, at) => failure && tag.settledLate(at, failure)))
  }

  /** Notes the outcomes of all calls from now on: the request gets no answer that can be given again. */
  #followAll(): void {
    for (let tag = this.#unfollowed; tag !== undefined; tag = tag.before) this.#follow(tag.pending!, true, tag)
    this.#unfollowed = undefined
  }

  /**
   * Replaces what an answer says of the records when it is too certain: an API may refuse a repeated request before it
   * sends the records, while those of the first request may be in Kafka.
   */
  told(persisted: string): string {
    if (persisted === 'no') {
      const { areAllRefused, isDurable, count } = this.#records
      return count === 0 || (areAllRefused && (!isDurable || this.#given >= count)) ? 'no' : 'unknown'
    }
    if (persisted === PENDING || !LETTERS.test(persisted)) return persisted
    return persisted.replaceAll('n', (letter, index: number) => (this.#records.mayBeIn(index) ? 'u' : letter))
  }

  /**
   * The request has an answer.
   *
   * @param persisted whether the records are in Kafka, as in the header of the answer
   * @param settling called when the answer may leave
   */
  answered(answer: KeptAnswer, persisted: string, settling: SettlingKey): void {
    if (this.#isEnded) {
      settling.settled()
      return
    }
    this.#isEnded = true
    const settlement = keyOutcomeOf(answer, this.told(persisted), this.#records)
    if (typeof settlement === 'object') this.#unfollowed = undefined
    else this.#followAll()
    this.#keys.settle(this.#records, settlement, settling)
  }

  /** The request is not carried out: its client does not wait any more. */
  release(): void {
    this.#isEnded = true
    this.#keys.settle(this.#records, this.#records.count === 0 ? 'free' : 'open', NOT_ANSWERED)
  }
}

/** The places of the records that have to be sent; `undefined`: all of them. */
function missingOf(records: KeyedRecords, call: CallTag, count: number): readonly number[] | undefined {
  if (records.count === 0) return undefined
  const missing: number[] = []
  for (let at = 0; at < count; at++) if (records.isMissing(call.indexOf(at))) missing.push(at)
  return missing.length === count ? undefined : missing
}

/** The records of one call to produce, as a part of those of the request with the key. */
class CallTag implements KeyTag {
  readonly #records: KeyedRecords
  readonly #logged: LoggedRecords
  readonly #from: number
  readonly #indexes: readonly number[] | undefined
  /** The outcomes of the records; `undefined`: they are followed already. */
  pending: PendingProduce | undefined
  /** The call before it that is not followed either. */
  before: CallTag | undefined

  /** @param indexes of its records, counted from `from`; absent: they follow each other */
  constructor(records: KeyedRecords, logged: LoggedRecords, from: number, indexes: readonly number[] | undefined) {
    this.#records = records
    this.#logged = logged
    this.#from = from
    this.#indexes = indexes
  }

  get hash(): string {
    return this.#records.key.hash
  }

  get fingerprint(): string {
    return this.#records.key.fingerprint
  }

  indexOf(at: number): number {
    return this.#from + (this.#indexes === undefined ? at : this.#indexes[at]!)
  }

  stored(index: number, sequence: number): void {
    this.#logged.stored(this.#records, index, sequence)
  }

  accepted(at: number): void {
    this.#records.accepted(this.indexOf(at))
  }

  settledLate(at: number, outcome: RecordOutcome): void {
    this.#records.settle(this.indexOf(at), outcome)
  }
}

/** Records of a request that has lost its key. */
function refusedRecords(key: KeyName, from: number, count: number): KeyedRecords {
  const records = new KeyedRecords(key)
  const refusal = failures.timedOut('the request had ended before it sent the record', 'no')
  for (let index = from; index < from + count; index++) records.settle(index, refusal)
  return records
}

function keyOutcomeOf(answer: KeptAnswer, persisted: string, records: KeyedRecords): KeyOutcome {
  // Dead letters must not become more: their request is not carried out again.
  if (persisted === 'no' && !(records.areAllRefused && records.isDurable)) return 'free'
  const { isAwaited } = records
  if (persisted === 'yes' || (persisted === PENDING && !isAwaited)) return answer
  return (isAwaited ? CERTAIN : CERTAIN_OR_PENDING).test(persisted) ? answer : 'open'
}
