import type { ServerResponse } from 'node:http'

/** So much of a list is written in one tick: it takes a few milliseconds. */
const CHARS_PER_TICK = 64 * 1024
/** A client that has so much of its lists to read waits for its next list. */
const MAX_UNREAD_CHARS = 4 * 1024 * 1024
/** It waits no longer than this, because another client at its address may be the one that reads nothing. */
const MAX_SENDING_MS = 10_000

/** A list as JSON that may be long. Its items are made while it is written. */
export class LongList {
  readonly kind: string
  readonly before: string
  readonly items: Iterable<unknown> | AsyncIterable<unknown>
  readonly after: string
  readonly jsonOf: (item: unknown) => unknown

  /**
   * @param kind lists of different kinds do not wait for each other
   * @param before the JSON before the items; `after` is the JSON behind them
   * @param jsonOf makes an item when it is written
   */
  constructor(
    kind: string,
    before: string,
    items: LongList['items'],
    after: string,
    jsonOf: LongList['jsonOf'] = item => item
  ) {
    this.jsonOf = jsonOf
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

export interface ListReader {
  /** `undefined`: it came by a unix socket. */
  readonly client: string | undefined
  readonly response: ServerResponse
}

/**
 * Writes long lists so that other requests do not wait for them. Each tick writes a portion of one list. The lists of a
 * client are written one after another, and clients take turns. Otherwise a hundred answers about thousands of topics,
 * which often have the data at the same time, would block the event loop for seconds.
 */
export class LongLists {
  /** Characters of lists that have not left, by client. */
  readonly #unread = new Map<string | undefined, number>()
  /** The end of the last list, by client and kind. */
  readonly #ends = new Map<string, Promise<void>>()
  /** Those that wait for a tick. */
  readonly #waiting: (() => void)[] = []

  /**
   * @param send called with the text, unless the client has left
   * @returns resolves when a further list may be written. @throws what the items throw
   */
  async write(list: LongList, { client, response }: ListReader, send: (text: string) => void): Promise<void> {
    await this.#inOrder(`${list.kind} ${client}`, async () => {
      const text = await this.#textOf(list, response)
      // The event that a response was closed comes once, and may already have been.
      if (text === undefined || response.destroyed) return
      this.#add(client, text.length)
      const left = over(response).then(() => this.#add(client, -text.length))
      send(text)
      if (this.#unread.get(client)! >= MAX_UNREAD_CHARS) await atMost(MAX_SENDING_MS, left)
    })
  }

  #add(client: string | undefined, chars: number): void {
    const unread = (this.#unread.get(client) ?? 0) + chars
    if (unread > 0) this.#unread.set(client, unread)
    else this.#unread.delete(client)
  }

  async #textOf({ before, items, after, jsonOf }: LongList, response: ServerResponse): Promise<string | undefined> {
    const portions: string[] = []
    let portion: string[] = []
    let chars = 0
    await this.#tick()
    if (response.destroyed) return undefined
    for await (const item of items) {
      if (chars >= CHARS_PER_TICK) {
        portions.push(portion.join(','))
        portion = []
        chars = 0
        await this.#tick()
        if (response.destroyed) return undefined
      }
      const json = JSON.stringify(jsonOf(item))
      chars += json.length
      portion.push(json)
    }
    if (portion.length > 0) portions.push(portion.join(','))
    return before + portions.join(',') + after
  }

  async #inOrder(key: string, work: () => Promise<void>): Promise<void> {
    const written = (this.#ends.get(key) ?? Promise.resolve()).then(work)
    const end = written.catch(() => {})
    this.#ends.set(key, end)
    try {
      await written
    } finally {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
    }
  }

  /** Resolves in a tick of its own. */
  #tick(): Promise<void> {
    return new Promise(resolve => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#serve())
    })
  }

  #serve(): void {
    this.#waiting.shift()!()
    if (this.#waiting.length > 0) setImmediate(() => this.#serve())
  }
}

/** Resolves when an answer has left, or can no longer leave. */
function over(response: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    response.once('finish', resolve)
    response.once('close', resolve)
  })
}

function atMost(limitMs: number, end: Promise<void>): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, limitMs)
    end.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
