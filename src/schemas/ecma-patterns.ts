/** The characters of `\s` in JavaScript, for use within a class. A hyphen beside a class stands for itself. */
const SPACES = '\\s\\x0b\\x{feff}\\p{Z}'
const NO_SPACES =
  '\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}' +
  '\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}'

/** The short names of classes of characters, which are the only ones of RE2. */
const CATEGORIES: ReadonlyMap<string, string> = new Map([
  ...['Letter', 'Mark', 'Number', 'Punctuation', 'Symbol', 'Other'].map(name => [name, name.charAt(0)] as const),
  ['Separator', 'Z'],
  ['digit', 'Nd'],
  ['punct', 'P'],
  ['Uppercase_Letter', 'Lu'],
  ['Lowercase_Letter', 'Ll'],
  ['Titlecase_Letter', 'Lt'],
  ['Modifier_Letter', 'Lm'],
  ['Other_Letter', 'Lo'],
  ['Nonspacing_Mark', 'Mn'],
  ['Spacing_Mark', 'Mc'],
  ['Enclosing_Mark', 'Me'],
  ['Decimal_Number', 'Nd'],
  ['Letter_Number', 'Nl'],
  ['Other_Number', 'No'],
  ['Math_Symbol', 'Sm'],
  ['Currency_Symbol', 'Sc'],
  ['Modifier_Symbol', 'Sk'],
  ['Other_Symbol', 'So'],
  ['Space_Separator', 'Zs'],
  ['Line_Separator', 'Zl'],
  ['Paragraph_Separator', 'Zp'],
  ['Control', 'Cc'],
  ['Format', 'Cf']
])
const CATEGORY = /^\\p\{(?:(?:General_Category|gc|Script|sc)=)?(\w+)\}$/i

/** A class of Unicode, another escaped character, or the begin or end of a class. */
const ESCAPE_OR_CLASS = /\\[pP]\{[^}]*\}|\\[\s\S]|\[\^?\]?|\]/g

/**
 * Gives a pattern of RE2 the meaning that it has in ECMA-262.
 *
 * @returns `spaces` how often it names the spaces of JavaScript, which are classes of Unicode
 */
export function asInEcma(pattern: string): { readonly ofEcma: string; readonly spaces: number } {
  let isInClass = false
  let spaces = 0
  const ofEcma = pattern.replace(ESCAPE_OR_CLASS, token => {
    if (token === ']') isInClass = false
    else if (token.startsWith('[')) isInClass = !isInClass || !token.endsWith(']')
    const [, name = ''] = CATEGORY.exec(token) ?? []
    if (name !== '') return `\\${token[1]}{${CATEGORIES.get(name) ?? name}}`
    if (token !== '\\s' && token !== '\\S') return token
    spaces++
    if (isInClass) return token === '\\s' ? SPACES : NO_SPACES
    return token === '\\s' ? `[${SPACES}]` : `[^${SPACES}]`
  })
  return { ofEcma, spaces }
}

/** An escaped character, the begin of look-around, or the begin or end of a class. */
const PART = /\\[\s\S]|\(\?<?[=!]|[[\]]/g
const REFERENCE = /^\\[1-9k]/

/** @throws Error for what may take for ever to match */
export function requireLinear(pattern: string): void {
  let isInClass = false
  for (const [token] of pattern.matchAll(PART)) {
    if (token === '[' || token === ']') isInClass = token === '['
    else if (!isInClass && (token.startsWith('(') || REFERENCE.test(token))) {
      const what = token.startsWith('(') ? 'look-around' : 'a reference to a group'
      throw new Error(
        `a pattern has ${what}, ${token}, which may take for ever: docs/schemas.md has what to write instead`
      )
    }
  }
}
