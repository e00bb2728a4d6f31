import { OverloadedError } from '../../core/errors.js'
import type { InPieces } from '../../core/loop-turns.js'
import { Shares } from '../../core/shares.js'
import { type ReceiptClaims, ReceiptIssuer, type ReceiptKey, type ReceiptKind } from './receipt-ids.js'

/** The request that records come with, as delivery knows it: who gets their receipt, and how many of them are taken at a time. */
export interface ReceiptHolder {
  /** The client that may ask for the receipt. */
  readonly principal: string
  /** The client for which new topics are created: the principal, else the address. Absent: the program itself, or not known. */
  readonly client?: string | undefined
  /** Set before the receipt if all records of the request are in the durable log: how many these are. */
  acceptedRecords?: number | undefined
  /** Set when records are accepted. */
  receipt: string | undefined
  /** The receipt is asked for here, and not in the result of delivery, which then need not keep it. Absent: perhaps there. */
  readonly isAsked?: boolean | undefined
  /** Lets the acceptance of many records go in turns; see `ProduceOrigin`. */
  readonly inTurns?: ((work: InPieces<void>) => void) | undefined
  /** Positions of the produced records in their request. Absent: all of its records are produced. */
  places?: RecordPlaces | undefined
}

/** Selects some records of a request, of which the others were refused before. */
export interface RecordPlaces {
  /** Records of the request. */
  readonly count: number
  /** The index of each of the records, rising. */
  readonly indexes: readonly number[]
}

/** The places of those of all records that have no refusal. */
export function placesOf(count: number, isRefused: (index: number) => boolean): RecordPlaces {
  const indexes: number[] = []
  for (let index = 0; index < count; index++) if (!isRefused(index)) indexes.push(index)
  return { count, indexes }
}

/** State of one record of a request. */
export type RecordState =
  /** The record is not in Kafka yet, and Castellan keeps trying. */
  | { readonly state: 'waiting'; readonly topic?: string; readonly sinceMs?: number | undefined; readonly why: string }
  | {
      readonly state: 'inKafka'
      readonly topic: string
      readonly partition: number
      /** -1: Kafka has the record, but has not said where. */
      readonly offset: number
      /** Negative: unknown. */
      readonly timestampMs: number
    }
  /** Kafka has refused it for good; an operator can send it again. */
  | { readonly state: 'deadLetter'; readonly topic: string; readonly code: string; readonly why: string }
  /** The record was accepted, and certainly never reaches Kafka. */
  | { readonly state: 'lost'; readonly topic?: string | undefined; readonly why: string }
  /** The record was refused when its request was answered. */
  | { readonly state: 'refused' }
  /** The record may be in Kafka or not. */
  | { readonly state: 'unknown'; readonly why: string }

/** Records of a receipt, and whether all of its records are settled. */
export interface ReceiptPart {
  /** The states of the asked records, in the order of their request. */
  readonly records: readonly RecordState[]
  readonly isSettled: boolean
}

/** `expired`: what became of the records is not kept any more. */
export type ReceiptAnswer = ({ readonly type: 'found' } & ReceiptPart) | { readonly type: 'expired' }

/** The records of a receipt that are asked for: from index `from` to `to`, without the latter. */
export interface RecordSpan {
  readonly from: number
  readonly to: number
}

/** A place that gives receipts, and knows what became of their records. */
export interface ReceiptStore {
  /** Whether it has given the receipt. */
  has(claims: ReceiptClaims): boolean
  /** Whether an earlier process at the same place has given it, and only that process knew more. */
  isOfFormer?(claims: ReceiptClaims): boolean
  states(claims: ReceiptClaims, span: RecordSpan): Promise<ReceiptAnswer>
  /**
   * Resolves when all records are settled, or the signal ends the wait.
   *
   * @returns whether they are settled
   */
  settled(claims: ReceiptClaims, signal: AbortSignal): Promise<boolean>
}

/** Look-ups that may be carried out at a time, without those that end a wait. */
const MAX_LOOKS = 256
/** Requests that may wait for records at a time. */
const MAX_WAITS = 1_024

/** The receipts of one process: gives them, and answers for them. */
export class Receipts {
  readonly #key: ReceiptKey
  readonly #stores = new Set<ReceiptStore>()
  readonly #looks = new Shares(MAX_LOOKS, 'looks for receipts')
  readonly #waits = new Shares(MAX_WAITS, 'waits for receipts')

  constructor(key: ReceiptKey) {
    this.#key = key
  }

  issuer(kind: ReceiptKind, issuer: Uint8Array): ReceiptIssuer {
    return new ReceiptIssuer(this.#key, kind, issuer)
  }

  add(store: ReceiptStore): void {
    this.#stores.add(store)
  }

  /**
   * Reads an id.
   *
   * @returns `undefined`: it was not given to one of these principals
   */
  open(id: string, principals: readonly string[]): ReceiptClaims | undefined {
    return this.#key.open(id, principals)
  }

  /** Whether this process has given the receipt. */
  has(claims: ReceiptClaims): boolean {
    return this.#storeOf(claims) !== undefined
  }

  /** Whether an earlier process at the same place has given the receipt. What it had in memory is not known. */
  isOfFormer(claims: ReceiptClaims): boolean {
    for (const store of this.#stores) if (store.isOfFormer?.(claims) === true) return true
    return false
  }

  /**
   * Takes a place for a question. A wait keeps its place until it is answered: many waits may end in the same moment.
   *
   * @param client see {@link Shares}
   * @returns a function that releases the place; to be called once
   * @throws OverloadedError
   */
  takePlace(kind: 'look' | 'wait', client: string | undefined): () => void {
    return kind === 'look'
      ? placeOf(this.#looks, client, 'are being looked up')
      : placeOf(this.#waits, client, 'are waited for')
  }

  /** @returns `undefined`: this process has not given the receipt */
  async states(claims: ReceiptClaims, span: RecordSpan): Promise<ReceiptAnswer | undefined> {
    return this.#storeOf(claims)?.states(claims, span)
  }

  /**
   * Waits until all records are settled, at most until the signal.
   *
   * @returns whether they are settled, as far as this process knows
   */
  async settled(claims: ReceiptClaims, signal: AbortSignal): Promise<boolean> {
    return (await this.#storeOf(claims)?.settled(claims, signal)) ?? true
  }

  #storeOf(claims: ReceiptClaims): ReceiptStore | undefined {
    for (const store of this.#stores) if (store.has(claims)) return store
    return undefined
  }
}

/**
 * Takes a place for work on a receipt.
 *
 * @returns a function that releases the place; to be called once
 * @throws OverloadedError
 */
export function placeOf(shares: Shares, client: string | undefined, what: string): () => void {
  const problem = shares.problemOf(client)
  if (problem === undefined) return shares.take(client)
  throw new OverloadedError(`too many receipts ${problem === 'greedy' ? 'of one client ' : ''}${what}`)
}
