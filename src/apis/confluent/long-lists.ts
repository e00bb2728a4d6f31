import type { ServerResponse } from 'node:http'

/** So much of a list is made in one tick: it takes a few milliseconds. */
const CHARS_PER_TICK = 64 * 1024

/** A list as JSON that may be long: its items are made while it is written. */
export class LongList {
  readonly kind: string
  readonly before: string
  readonly items: Iterable<unknown> | AsyncIterable<unknown>
  readonly after: string

  /**
   * @param kind lists of different kinds do not wait for each other
   * @param before the JSON before the items; `after` is the JSON behind them
   */
  constructor(kind: string, before: string, items: LongList['items'], after: string) {
    this.kind = kind
    this.before = before
    this.items = items
    this.after = after
  }
}

/** Items that are sorted and counted when their list is written, and not before. */
export function* lazily<Item>(all: () => Iterable<Item>): Iterable<Item> {
  yield* all()
}

/**
 * Makes long lists so that other requests do not wait for them: each tick makes a portion of one list, and a client gets
 * its lists of one kind one after another. Otherwise a hundred answers about thousands of topics, which often have the data
 * at the same time, would block the event loop for seconds.
 */
export class LongLists {
  /** The end of the last list, by client and kind. */
  readonly #ends = new Map<string, Promise<unknown>>()
  /** Those that wait for a tick. */
  readonly #waiting: (() => void)[] = []

  /** @returns `undefined`: the client has left. @throws what the items throw */
  async textOf(list: LongList, client: string | undefined, response: ServerResponse): Promise<string | undefined> {
    const key = `${list.kind} ${client}`
    const text = (this.#ends.get(key) ?? Promise.resolve()).then(() => this.#make(list, response))
    const end = text.catch(() => undefined)
    this.#ends.set(key, end)
    await end
    if (this.#ends.get(key) === end) this.#ends.delete(key)
    return text
  }

  async #make({ before, items, after }: LongList, response: ServerResponse): Promise<string | undefined> {
    let text = before
    let [isFirst, portionEnd] = [true, 0]
    for await (const item of items) {
      if (text.length >= portionEnd) {
        await new Promise<void>(resolve => {
          if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#serve())
        })
        portionEnd = text.length + CHARS_PER_TICK
      }
      if (response.destroyed) return undefined
      text += isFirst ? JSON.stringify(item) : `,${JSON.stringify(item)}`
      isFirst = false
    }
    return text + after
  }

  #serve(): void {
    this.#waiting.shift()!()
    if (this.#waiting.length > 0) setImmediate(() => this.#serve())
  }
}
