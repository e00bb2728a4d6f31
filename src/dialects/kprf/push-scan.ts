import { isUtf8 } from 'node:buffer'
import { hasControlByte } from './control-bytes.js'
import { type PushRecord, type PushRequest, toPartition } from './push-request.js'

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const MINUS = 0x2d
const SPACE = 0x20
/** More digits might not fit an i32; the slow path knows. */
const MAX_PLAIN_DIGITS = 9

/**
 * Reads a body of the plain shape without making a string of it: known keys once, no backslash, no control byte (also
 * none between tokens), valid UTF-8.
 *
 *   {"records":[{"topic":"t","data":"…","key":null,"partition":3}],"wait_for_send":true}
 *
 * Keys and values are views of the body; they are not to be used after its buffer is reused.
 *
 * @returns `undefined` for anything unusual, right or wrong: then parsePush decides.
 */
export function scanPush(body: Buffer): PushRequest | undefined {
  // Escapes are the likeliest reason to give up, so they are looked for first.
  if (body.indexOf(BACKSLASH) >= 0 || !isUtf8(body) || hasControlByte(body)) return undefined
  return new Scan(body).push()
}

const word = (text: string): Buffer => Buffer.from(text)
const RECORDS = word('records"')
const WAIT_FOR_SEND = word('wait_for_send"')
const TOPIC = word('topic"')
const DATA = word('data"')
const KEY = word('key"')
const PARTITION = word('partition"')
const NULL = word('null')
const TRUE = word('true')
const FALSE = word('false')

class Scan {
  readonly #bytes: Buffer
  #at = 0
  /** Start and text of the topic before: neighbours mostly share it, and comparing is cheaper than decoding. */
  #topicStart = 0
  #topicLength = -1
  #topic = ''

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  push(): PushRequest | undefined {
    let records: PushRecord[] | undefined
    let waitForSend: boolean | null | undefined
    if (!this.#take(OPEN_OBJECT)) return undefined
    do {
      if (!this.#take(QUOTE)) return undefined
      if (records === undefined && this.#takeWord(RECORDS)) {
        if (!this.#take(COLON)) return undefined
        records = this.#records()
        if (records === undefined) return undefined
      } else if (waitForSend === undefined && this.#takeWord(WAIT_FOR_SEND)) {
        if (!this.#take(COLON)) return undefined
        waitForSend = this.#boolean()
        if (waitForSend === undefined) return undefined
      } else return undefined
    } while (this.#take(COMMA))
    if (records === undefined || !this.#take(CLOSE_OBJECT) || this.#token() !== -1) return undefined
    return { records, waitForSend: waitForSend === true }
  }

  #records(): PushRecord[] | undefined {
    const records: PushRecord[] = []
    if (!this.#take(OPEN_LIST)) return undefined
    if (this.#take(CLOSE_LIST)) return records
    do {
      const record = this.#record()
      if (record === undefined) return undefined
      records.push(record)
    } while (this.#take(COMMA))
    return this.#take(CLOSE_LIST) ? records : undefined
  }

  #record(): PushRecord | undefined {
    let topic: string | undefined
    let value: Buffer | undefined
    let key: Buffer | null | undefined
    let partition: number | null | undefined
    if (!this.#take(OPEN_OBJECT)) return undefined
    do {
      if (!this.#take(QUOTE)) return undefined
      if (value === undefined && this.#takeWord(DATA)) {
        value = this.#value()
        if (value === undefined) return undefined
      } else if (topic === undefined && this.#takeWord(TOPIC)) {
        topic = this.#topicText()
        if (topic === undefined) return undefined
      } else if (key === undefined && this.#takeWord(KEY)) {
        key = this.#nullOrValue()
        if (key === undefined) return undefined
      } else if (partition === undefined && this.#takeWord(PARTITION)) {
        partition = this.#nullOrInteger()
        if (partition === undefined) return undefined
      } else return undefined
    } while (this.#take(COMMA))
    if (topic === undefined || value === undefined || !this.#take(CLOSE_OBJECT)) return undefined
    return { topic, key: key ?? null, value, partition: toPartition(partition) }
  }

  /** The next byte that is no space; -1 at the end. */
  #token(): number {
    const bytes = this.#bytes
    let at = this.#at
    while (at < bytes.length && bytes[at] === SPACE) at++
    this.#at = at
    return at < bytes.length ? bytes[at]! : -1
  }

  #take(byte: number): boolean {
    if (this.#token() !== byte) return false
    this.#at++
    return true
  }

  #takeWord(letters: Buffer): boolean {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes[at] !== letters[0]) return false
    for (let i = 1; i < letters.length; i++) if (bytes[at + i] !== letters[i]) return false
    this.#at = at + letters.length
    return true
  }

  /** Position of the closing quote of the string that follows a colon, the cursor being at its first byte; else -1. */
  #openString(): number {
    if (!this.#take(COLON) || !this.#take(QUOTE)) return -1
    return this.#bytes.indexOf(QUOTE, this.#at)
  }

  #value(): Buffer | undefined {
    const end = this.#openString()
    if (end < 0) return undefined
    const value = this.#bytes.subarray(this.#at, end)
    this.#at = end + 1
    return value
  }

  #topicText(): string | undefined {
    const end = this.#openString()
    if (end < 0) return undefined
    const start = this.#at
    this.#at = end + 1
    if (!this.#isSameTopic(start, end)) {
      this.#topic = this.#bytes.toString('utf8', start, end)
      this.#topicStart = start
      this.#topicLength = end - start
    }
    return this.#topic
  }

  #isSameTopic(start: number, end: number): boolean {
    const bytes = this.#bytes
    if (end - start !== this.#topicLength) return false
    for (let i = start, j = this.#topicStart; i < end; i++, j++) if (bytes[i] !== bytes[j]) return false
    return true
  }

  #nullOrValue(): Buffer | null | undefined {
    const colon = this.#at
    if (!this.#take(COLON)) return undefined
    if (this.#token() !== QUOTE) return this.#takeWord(NULL) ? null : undefined
    this.#at = colon
    return this.#value()
  }

  #nullOrInteger(): number | null | undefined {
    if (!this.#take(COLON)) return undefined
    this.#token()
    return this.#takeWord(NULL) ? null : this.#integer()
  }

  #integer(): number | undefined {
    const bytes = this.#bytes
    const isNegative = this.#take(MINUS)
    const start = this.#at
    let at = start
    let value = 0
    for (let byte = bytes[at]; byte !== undefined && byte >= 0x30 && byte <= 0x39; byte = bytes[++at]) {
      value = value * 10 + byte - 0x30
    }
    const length = at - start
    if (length === 0 || length > MAX_PLAIN_DIGITS || (length > 1 && bytes[start] === 0x30)) return undefined
    this.#at = at
    return isNegative ? 0 - value : value
  }

  #boolean(): boolean | null | undefined {
    this.#token()
    if (this.#takeWord(TRUE)) return true
    if (this.#takeWord(FALSE)) return false
    return this.#takeWord(NULL) ? null : undefined
  }
}
