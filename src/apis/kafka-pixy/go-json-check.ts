import { goQuoted } from './go-json.js'

/** JSON that Go refuses, in Go's words. */
export class GoJsonError extends Error {}

const END = 'unexpected end of JSON input'
const SPACE = ' \t\r\n'
/** Go allows 10,000; each level takes some of the stack here. */
const MAX_DEPTH = 1_000
/** Each takes time while nothing else is served. 10,000 partitions with all members have 90,001. */
const MAX_VALUES = 100_000
const LITERALS: ReadonlyMap<string, string> = new Map([
  ['t', 'true'],
  ['f', 'false'],
  ['n', 'null']
])

/**
 * Refuses what is no JSON as Go does. Source: Go 1.19, encoding/json, checkValid. JSON of very many values is refused, too.
 *
 * @param text each character stands for one byte
 * @throws GoJsonError
 */
export function checkJson(text: string): void {
  new Check(text).all()
}

class Check {
  readonly #text: string
  #at = 0
  #depth = 0
  #values = 0

  constructor(text: string) {
    this.#text = text
  }

  all(): void {
    this.#value()
    this.#skipSpace()
    if (this.#at < this.#text.length) this.#fail('after top-level value')
  }

  #value(): void {
    const letter = this.#next()
    if (++this.#values > MAX_VALUES) throw new GoJsonError(`more than ${MAX_VALUES} values`)
    if (letter === '{') this.#nested(() => this.#object())
    else if (letter === '[') this.#nested(() => this.#array())
    else if (letter === '"') this.#string()
    else if (letter === '-' || isDigit(letter)) this.#number()
    else if (LITERALS.has(letter)) this.#literal(LITERALS.get(letter)!)
    else this.#fail('looking for beginning of value')
  }

  #nested(check: () => void): void {
    if (++this.#depth > MAX_DEPTH) this.#fail('exceeded max depth')
    check()
    this.#depth--
  }

  #object(): void {
    this.#at++
    if (this.#next() === '}') {
      this.#at++
      return
    }
    for (;;) {
      if (this.#next() !== '"') this.#fail('looking for beginning of object key string')
      this.#string()
      if (this.#next() !== ':') this.#fail('after object key')
      this.#at++
      this.#value()
      if (this.#isLast('}', 'after object key:value pair')) return
    }
  }

  #array(): void {
    this.#at++
    if (this.#next() === ']') {
      this.#at++
      return
    }
    do this.#value()
    while (!this.#isLast(']', 'after array element'))
  }

  #isLast(end: string, where: string): boolean {
    const letter = this.#next()
    if (letter !== end && letter !== ',') this.#fail(where)
    this.#at++
    return letter === end
  }

  #string(): void {
    for (this.#at++; ; this.#at++) {
      const letter = this.#letter()
      if (letter === '"') break
      if (letter < ' ') this.#fail('in string literal')
      if (letter === '\\') this.#escape()
    }
    this.#at++
  }

  #escape(): void {
    this.#at++
    const letter = this.#inToken()
    if (!'bfnrt\\/"u'.includes(letter)) this.#fail('in string escape code')
    if (letter !== 'u') return
    for (let digits = 0; digits < 4; digits++) {
      this.#at++
      if (!/[0-9a-f]/i.test(this.#inToken())) this.#fail('in \\u hexadecimal character escape')
    }
  }

  #number(): void {
    if (this.#letter() === '-') this.#at++
    const first = this.#inToken()
    if (!isDigit(first)) this.#fail('in numeric literal')
    this.#at++
    if (first !== '0') this.#digits()
    if (this.#inToken() === '.') {
      this.#at++
      this.#someDigits('after decimal point in numeric literal')
    }
    if (/[eE]/.test(this.#inToken())) {
      this.#at++
      if (/[+-]/.test(this.#inToken())) this.#at++
      this.#someDigits('in exponent of numeric literal')
    }
  }

  #someDigits(where: string): void {
    if (!isDigit(this.#inToken())) this.#fail(where)
    this.#digits()
  }

  #digits(): void {
    while (isDigit(this.#inToken())) this.#at++
  }

  #literal(word: string): void {
    for (const expected of word) {
      if (this.#inToken() !== expected) this.#fail(`in literal ${word} (expecting '${expected}')`)
      this.#at++
    }
  }

  /** The next letter that is no space. */
  #next(): string {
    this.#skipSpace()
    return this.#letter()
  }

  #skipSpace(): void {
    while (this.#at < this.#text.length && SPACE.includes(this.#text[this.#at]!)) this.#at++
  }

  #letter(): string {
    const letter = this.#text[this.#at]
    if (letter === undefined) throw new GoJsonError(END)
    return letter
  }

  /** The letter of an escape, a number or a literal. Go reads a space behind the end of a text that ends within one. */
  #inToken(): string {
    return this.#text[this.#at] ?? ' '
  }

  #fail(where: string): never {
    const letter = this.#inToken()
    const shown = letter === "'" ? "\\'" : letter === '"' ? '"' : goQuoted(letter).slice(1, -1)
    throw new GoJsonError(`invalid character '${shown}' ${where}`)
  }
}

const isDigit = (letter: string): boolean => letter >= '0' && letter <= '9'
