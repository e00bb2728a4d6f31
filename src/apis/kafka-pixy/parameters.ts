/** Values by name, in the order sent. Each character stands for one byte; {@link textOf} makes text of them. */
export type Values = ReadonlyMap<string, readonly string[]>

export interface ParsedQuery {
  readonly values: Values
  /** What is wrong with the first pair that was left out, in the words of the original. */
  readonly flaw: string | undefined
}

const NOTHING: ParsedQuery = { values: new Map(), flaw: undefined }
const SEMICOLON = 'invalid semicolon separator in query'

/**
 * A query string or a form. A pair that cannot be decoded, or has a semicolon, is left out.
 *
 *   a=1&b&a=%41&c=%zz   =>   a: [1, A], b: ['']   invalid URL escape "%zz"
 *
 * Source: Go 1.19, net/url, ParseQuery.
 */
export function parseQuery(text: string): ParsedQuery {
  if (text === '') return NOTHING
  const values = new Map<string, string[]>()
  let flaw: string | undefined
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const problem = addPair(values, pair)
    flaw ??= problem
  }
  return { values, flaw }
}

function addPair(values: Map<string, string[]>, pair: string): string | undefined {
  if (pair.includes(';')) return SEMICOLON
  const equals = pair.indexOf('=')
  const rawName = equals < 0 ? pair : pair.slice(0, equals)
  const rawValue = equals < 0 ? '' : pair.slice(equals + 1)
  const problem = escapeProblem(rawName) ?? escapeProblem(rawValue)
  if (problem !== undefined) return problem
  const name = decoded(rawName)
  const known = values.get(name)
  if (known === undefined) values.set(name, [decoded(rawValue)])
  else known.push(decoded(rawValue))
  return undefined
}

function escapeProblem(text: string): string | undefined {
  if (!text.includes('%')) return undefined
  const at = text.search(/%(?![0-9a-f]{2})/i)
  return at < 0 ? undefined : `invalid URL escape "${text.slice(at, at + 3)}"`
}

const decoded = (text: string): string =>
  /[+%]/.test(text)
    ? text
        .replaceAll('+', ' ')
        .replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    : text

/** Values of both, those of the form first. */
export function merged(form: Values, query: Values): Values {
  if (form.size === 0) return query
  const all = new Map<string, readonly string[]>(form)
  for (const [name, values] of query) all.set(name, [...(all.get(name) ?? []), ...values])
  return all
}

const isAscii = (text: string): boolean => !/[\u0080-\uffff]/.test(text)

/** The text that the bytes of a value are in UTF-8. */
export const textOf = (value: string): string => (isAscii(value) ? value : bytesOf(value).toString())

export const bytesOf = (value: string): Buffer => Buffer.from(value, 'latin1')
