/** The beginning of a comment or of a text, a character that parts others, or a word. */
const TOKEN = /\/\/|\/\*|["'()[\]{}<>,;=]|[^\s()[\]{}<>,;="'/]+|\//g
/** Tokens that come before the name of an option in parentheses. */
const BEFORE = new Set(['option', '[', ','])

/** The parser loses what has this name. */
const LOST = /(?:^|\.)__proto__(?:$|\.)/

/**
 * A file of Protobuf with `(custom) = 0` in place of each option in parentheses, and with the same lines. No data depend on
 * such options, and the parser does not read all values that they may have.
 *
 * @throws Error for a name that would be lost
 */
export function withoutCustomOptions(text: string): string {
  let made = ''
  let copied = 0
  let before = ''
  /** Start of the option that has not ended, and the number of its open brackets. */
  let start = -1
  let open = 0
  for (const [token, index] of tokensOf(text)) {
    if (LOST.test(token)) throw new Error('the name __proto__ cannot be used')
    if (start < 0) {
      if (token === '(' && BEFORE.has(before)) [start, open] = [index, 1]
    } else if (open === 0 && (token === ';' || token === ',' || token === ']')) {
      made += `${text.slice(copied, start)}(custom) = 0${text.slice(start, index).replace(/[^\n]+/g, '')}`
      copied = index
      start = -1
    } else open += '([{<'.includes(token) ? 1 : ')]}>'.includes(token) ? -1 : 0
    before = token
  }
  return made + text.slice(copied)
}

/** All but comments, and with what begins a text in place of it. */
function* tokensOf(text: string): Generator<readonly [token: string, index: number]> {
  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at
    const found = TOKEN.exec(text)
    if (found === null) return
    const { 0: token, index } = found
    at = index + token.length
    if (token === '//') at = endOf(text, '\n', at)
    else if (token === '/*') at = endOf(text, '*/', at)
    else {
      if (token === '"' || token === "'") at = endOfText(text, token, at)
      yield [token, index]
    }
  }
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from)
  return at < 0 ? text.length : at + mark.length
}

function endOfText(text: string, quote: string, from: number): number {
  let at = from
  while (at < text.length && text[at] !== quote) at += text[at] === '\\' ? 2 : 1
  return at + 1
}
