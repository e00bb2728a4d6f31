import type { ServerResponse } from 'node:http'
import { BudgetWait } from '../../core/budget-wait.js'
import type { OverloadedError } from '../../core/errors.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from '../../core/record-budget.js'
import { SMALL_BYTES } from '../engine/response.js'
import { KeptExchange } from './kept-response.js'
import { holdUntilLeft, isHeldApart } from './leaving-records.js'

/** What a large answer needs, before it is made. */
export interface WantedRoom {
  readonly response: ServerResponse
  readonly records: RecordBudget
  /** The client to whose share the bytes count. */
  readonly client: string | undefined
  /** How many bytes it will have, nearly. */
  readonly bytes: number
  /**
   * Called where there is no room within 10 s. Absent: the request has changed something, and waits for as long as its client
   * is there.
   */
  readonly refuse?: (error: OverloadedError) => void
}

/**
 * Makes an answer when there is room for it: at once where it is small. To be called when the work of its request is done: a
 * request that is answered holds nothing while Kafka is asked.
 *
 * @param make gets what is held until the answer has left; `undefined`: it is small. Not called where the client has left
 */
export function whenRoom(
  { response, records, client, bytes, refuse }: WantedRoom,
  make: (held: HeldRecords | undefined) => void
): void {
  // What takes the place of a connection keeps the answer, and holds it where it leaves.
  if (bytes <= SMALL_BYTES || response instanceof KeptExchange) {
    make(undefined)
    return
  }
  const left = (): void => wait.end()
  const take = (): void => {
    const held = wait.take(bytes)
    if (held === undefined) return
    response.off('close', left)
    holdUntilLeft(response, records, held)
    make(held)
  }
  const wait = new BudgetWait({ records, client, goOn: take, ...(refuse && { refuse }) })
  response.once('close', left)
  if (!response.destroyed) take()
}

interface OfConnection {
  readonly budget: RecordBudget | undefined
  readonly isHeld: boolean
}

/**
 * Holds an answer that was made without room, since it seldom is large. It counts even beyond the limit, so that others wait
 * for it, and its connection ends where its client takes it slowly.
 */
export function holdMade(
  response: ServerResponse & Partial<OfConnection>,
  bytes: number,
  client: string | undefined
): void {
  const { budget, isHeld } = response
  if (bytes > SMALL_BYTES && budget !== undefined && !isHeld)
    holdUntilLeft(response, budget, budget.hold(bytes, client ?? NAMELESS))
}

/** An answer without an end: what of it has not left is held. Its client may take it as slowly as it is made. */
export class HeldStream {
  readonly #response: ServerResponse
  readonly #held: HeldRecords | undefined

  constructor(response: ServerResponse & Partial<OfConnection>, client: string | undefined) {
    this.#response = response
    const { budget } = response
    if (budget === undefined || response.destroyed) return
    const held = budget.hold(0, client ?? NAMELESS)
    this.#held = held
    isHeldApart(response)
    response.once('close', () => held.release())
  }

  /** @returns whether the client keeps up */
  write(text: string): boolean {
    const held = this.#held
    if (held === undefined) return this.#response.write(text)
    const bytes = Buffer.byteLength(text)
    held.add(bytes)
    return this.#response.write(text, () => held.add(-bytes))
  }
}
