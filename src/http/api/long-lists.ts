import type { ServerResponse } from 'node:http'
import { takeBytes } from '../../core/budget-wait.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from '../../core/record-budget.js'
import { holdUntilLeft } from '../exchange/leaving-records.js'
import { SegmentedBody } from '../exchange/segmented-body.js'

/** Characters of a list that are made in one tick, which takes a few milliseconds. */
const CHARS_PER_TICK = 64 * 1024

/** A list as JSON that may be long: its items are made while it is written. */
export class LongList {
  readonly kind: string
  readonly before: string
  readonly items: Iterable<unknown> | AsyncIterable<unknown>
  readonly after: string
  readonly between: string
  readonly textOf: (item: unknown) => string

  /**
   * @param kind lists of different kinds do not wait for each other
   * @param before the JSON before the items; `after` is the JSON behind them
   */
  constructor(
    kind: string,
    before: string,
    items: LongList['items'],
    after: string,
    { between = ',', textOf = JSON.stringify }: ListWriting = {}
  ) {
    this.kind = kind
    this.before = before
    this.items = items
    this.after = after
    this.between = between
    this.textOf = textOf
  }
}

/** How items become texts, and what stands between them. */
export interface ListWriting {
  readonly between?: string
  readonly textOf?: (item: unknown) => string
}

/** An object has a list in portions where one of its members has more items. */
const FEW_ITEMS = 64

/**
 * An object as JSON, whose longest list is made in portions. A client gets its objects one after another.
 *
 * @returns `undefined`: it has no long one
 */
export function longListIn(json: unknown): LongList | undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  const members = Object.entries(json).filter(([, value]) => value !== undefined)
  const lengths = members.map(([, value]) => (Array.isArray(value) ? value.length : 0))
  const longest = Math.max(0, ...lengths)
  if (longest <= FEW_ITEMS) return undefined
  const at = lengths.indexOf(longest)
  const texts = members.map(
    ([name, value], nth) => `${JSON.stringify(name)}:${nth === at ? '[' : JSON.stringify(value)}`
  )
  const after = texts.slice(at + 1).map(text => `,${text}`)
  return new LongList(
    'object',
    `{${texts.slice(0, at + 1).join()}`,
    members[at]![1] as unknown[],
    `]${after.join('')}}`
  )
}

/** Items that are sorted and counted when their list is written, and not before. */
export function* lazily<Item>(all: () => Iterable<Item>): Iterable<Item> {
  yield* all()
}

/** A list for an answer. Its bytes are held until {@link HeldRecords.release}. */
export interface MadeList {
  /** A text, where it is short. */
  readonly body: string | SegmentedBody
  readonly held: HeldRecords
}

/** A list that is being made. */
class Making {
  readonly #records: RecordBudget
  readonly #client: string
  readonly #body = new SegmentedBody()
  #held: HeldRecords
  #text = ''

  constructor(records: RecordBudget, client: string) {
    this.#records = records
    this.#client = client
    this.#held = records.hold(0, client)
  }

  /** Waits until the client may take a portion. @throws OverloadedError when there was none for 10 s */
  async begin(response: ServerResponse): Promise<void> {
    if (this.#records.problemOf(this.#client, CHARS_PER_TICK) !== undefined)
      this.#held = await this.#whenFree(response, CHARS_PER_TICK)
  }

  /** @returns whether it has enough for one tick */
  add(text: string): boolean {
    this.#text += text
    return this.#text.length >= CHARS_PER_TICK
  }

  /**
   * Counts what was added, and waits until the client may take as much again. Lists that have a part of their bytes would wait
   * for each other, so one at a time is made in any case.
   *
   * @throws OverloadedError when there was none for 10 s
   */
  async endPortion(response: ServerResponse): Promise<void> {
    this.#body.add({ json: Buffer.from(this.#text) })
    this.#text = ''
    this.#count(0)
    const isFree = this.#records.problemOf(this.#client, CHARS_PER_TICK) === undefined
    if (isFree || this.#records.isOversized(this.#held)) return
    // More than the share of a client.
    const held = await this.#whenFree(response, Math.floor(this.#records.maxBytes / 2) + 1)
    this.#held.release()
    this.#held = held
    this.#count(held.bytes)
  }

  end(): MadeList {
    if (this.#body.length === 0) {
      this.#held.add(this.#text.length)
      return { body: this.#text, held: this.#held }
    }
    this.#body.add({ json: Buffer.from(this.#text) })
    this.#count(0)
    return { body: this.#body, held: this.#held }
  }

  giveUp(): void {
    this.#held.release()
  }

  #count(atLeast: number): void {
    this.#held.add(Math.max(atLeast, this.#body.length) - this.#held.bytes)
  }

  /** Rejects also when the client has left. */
  async #whenFree(response: ServerResponse, bytes: number): Promise<HeldRecords> {
    const records = this.#records
    const gone = new AbortController()
    const left = (): void => gone.abort()
    response.once('close', left)
    try {
      return await takeBytes({ records, client: this.#client, bytes, signal: gone.signal })
    } finally {
      response.off('close', left)
    }
  }
}

/**
 * Makes long lists so that other requests do not wait for them: each tick makes a portion of one list, and a client gets
 * its lists of one kind one after another. Otherwise a hundred answers about thousands of topics, which often have the data
 * at the same time, would block the event loop for seconds.
 *
 * Their bytes count as records do until the answer has left.
 */
export class LongLists {
  readonly #records: RecordBudget
  /** The end of the last list, by client and kind. */
  readonly #ends = new Map<string, Promise<unknown>>()
  /** Lists that wait for a tick. */
  readonly #waiting: (() => void)[] = []

  constructor(records: RecordBudget) {
    this.#records = records
  }

  /** @returns `undefined`: the client has left. @throws what the items throw */
  async make(list: LongList, client: string | undefined, response: ServerResponse): Promise<MadeList | undefined> {
    const key = `${list.kind} ${client}`
    const made = (this.#ends.get(key) ?? Promise.resolve()).then(() => this.#make(list, client, response))
    const end = made.catch(() => undefined)
    this.#ends.set(key, end)
    await end
    if (this.#ends.get(key) === end) this.#ends.delete(key)
    return made
  }

  /** Makes a list as the answer, unless the client leaves. @throws what the items throw */
  async answer(
    list: LongList,
    client: string | undefined,
    response: ServerResponse,
    send: (made: MadeList) => void
  ): Promise<void> {
    const made = await this.make(list, client, response)
    if (made === undefined) return
    holdUntilLeft(response, this.#records, made.held)
    send(made)
  }

  /** Answers with an object, whose longest list is made in portions. @throws what {@link make} throws */
  async answerObject(
    json: object,
    client: string | undefined,
    response: ServerResponse,
    send: (made: { readonly body: string | SegmentedBody; readonly held?: HeldRecords }) => void
  ): Promise<void> {
    const list = longListIn(json)
    if (list === undefined) send({ body: JSON.stringify(json) })
    else await this.answer(list, client, response, send)
  }

  async #make(
    { before, items, after, between, textOf }: LongList,
    client: string | undefined,
    response: ServerResponse
  ): Promise<MadeList | undefined> {
    const making = new Making(this.#records, client ?? NAMELESS)
    let made: MadeList | undefined
    try {
      await making.begin(response)
      making.add(before)
      let [isFirst, isEnough] = [true, true]
      for await (const item of items) {
        if (isEnough) {
          if (!isFirst) await making.endPortion(response)
          await this.#nextTick()
        }
        if (response.destroyed) return undefined
        isEnough = making.add(`${isFirst ? '' : between}${textOf(item)}`)
        isFirst = false
      }
      making.add(after)
      made = making.end()
    } finally {
      if (made === undefined) making.giveUp()
    }
    return made
  }

  #nextTick(): Promise<void> {
    return new Promise(resolve => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#serve())
    })
  }

  #serve(): void {
    this.#waiting.shift()!()
    if (this.#waiting.length > 0) setImmediate(() => this.#serve())
  }
}
