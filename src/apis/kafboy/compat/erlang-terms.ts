/** A word of Erlang's: `true`, `random`, `'a b'`. */
export class Atom {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/** `{a, 1}` */
export class Tuple {
  readonly members: readonly Term[]

  constructor(members: readonly Term[]) {
    this.members = members
  }
}

/** A string or a binary is a text. */
export type Term = number | string | Atom | Tuple | readonly Term[]

/** Limit of depth: a configuration is never this deep. */
const MAX_DEPTH = 100
const BLANK = /(?:\s|%[^\n]*)*/y
const NUMBER = /[+-]?\d+(?:\.\d+(?:[eE][+-]?\d+)?)?/y
const ATOM = /[a-z][\w@]*/y
const QUOTED_ATOM = /'((?:[^'\\]|\\[\s\S])*)'/y
const STRING = /"((?:[^"\\]|\\[\s\S])*)"/y
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', s: ' ', e: '\u001b', 0: '\0' }

/**
 * The term of a text such as Erlang's `file:consult` reads; what follows its full stop is not read.
 *
 *   [{ekaf, [{ekaf_bootstrap_broker, {"kafka-1", 9092}}]}].
 *
 * @throws SyntaxError naming the line, and nothing of the text, which may hold a secret
 */
export function parseTerm(text: string): Term {
  const parser = new Parser(text)
  const term = parser.term(0)
  if (!parser.takes('.')) parser.fail('a full stop')
  return term
}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  term(depth: number): Term {
    if (depth > MAX_DEPTH) this.fail('fewer brackets in brackets')
    if (this.takes('[')) return this.#members(']', depth)
    if (this.takes('{')) return new Tuple(this.#members('}', depth))
    if (this.takes('<<')) return this.#binary()
    const number = this.#match(NUMBER)
    if (number !== undefined) return Number(number[0])
    const atom = this.#match(ATOM)
    if (atom !== undefined) return new Atom(atom[0])
    const quoted = this.#match(QUOTED_ATOM)
    if (quoted !== undefined) return new Atom(unescaped(quoted[1]!))
    return this.#string() ?? this.fail('a term')
  }

  /** Consumes the sign and returns true if it comes next. */
  takes(sign: string): boolean {
    this.#match(BLANK)
    if (!this.#text.startsWith(sign, this.#at)) return false
    this.#at += sign.length
    return true
  }

  fail(expected: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length
    throw new SyntaxError(`line ${line}: expected ${expected} of Erlang`)
  }

  #members(end: string, depth: number): Term[] {
    const members: Term[] = []
    if (this.takes(end)) return members
    do members.push(this.term(depth + 1))
    while (this.takes(','))
    if (!this.takes(end)) this.fail(`"," or "${end}"`)
    return members
  }

  #binary(): string {
    if (this.takes('>>')) return ''
    const text = this.#string() ?? this.fail('a text')
    if (!this.takes('>>')) this.fail('">>"')
    return text
  }

  /** Texts side by side are one. */
  #string(): string | undefined {
    let text: string | undefined
    this.#match(BLANK)
    for (let match = this.#match(STRING); match !== undefined; match = this.#match(STRING)) {
      text = (text ?? '') + unescaped(match[1]!)
      this.#match(BLANK)
    }
    return text
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text) ?? undefined
    if (match !== undefined) this.#at = pattern.lastIndex
    return match
  }
}

const unescaped = (text: string): string => text.replace(/\\([\s\S])/g, (_, sign: string) => ESCAPES[sign] ?? sign)
