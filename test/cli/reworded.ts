import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { copyProject } from '../support/project-copy.js'

/** Two words in a row: a text for people, and no name, header, path or pattern of bytes. */
const SENTENCE = /[A-Za-z]{2,}[,:;.]? [A-Za-z]{2,}/
/** Texts that programs read, though they have such words. */
const OF_PROGRAMS = /[<>{}=*@\\\r\n]|^ ?[a-z-]+(, [a-z-]+)+$/

/**
 * What is built, with other words: each text for people, of errors, logs, warnings and answers, has words that the seed
 * decides, those of settings included.
 *
 * @returns the folder; see copyProject
 */
export async function rewordedCopy(seed: string): Promise<string> {
  const folder = await copyProject('reworded', ['dist', 'package.json'])
  const dist = join(folder, 'dist')
  let texts = 0
  for (const name of readdirSync(dist).filter(name => name.endsWith('.js'))) {
    const changes = reworded(readFileSync(join(dist, name), 'utf8'), seed)
    texts += changes.texts
    writeFileSync(join(dist, name), changes.source)
  }
  // Fewer would mean that they are looked for in the wrong way.
  if (texts < 3_000) throw new Error(`only ${texts} texts were found`)
  return folder
}

/** A text without its quotes, or a template between its placeholders. */
type Part = readonly [from: number, to: number]

export function reworded(source: string, seed: string): { readonly source: string; readonly texts: number } {
  const isText = (parts: readonly Part[]): boolean => {
    const whole = parts.map(([from, to]) => source.slice(from, to)).join(' x ')
    return SENTENCE.test(whole) && !OF_PROGRAMS.test(whole)
  }
  const texts = textsIn(source).filter(isText)
  let [result, last] = ['', 0]
  for (const [from, to] of texts.flat().sort(([one], [other]) => one - other)) {
    result += source.slice(last, from)
    result += source.slice(from, to).replace(/(?<!\\)[A-Za-z][A-Za-z.]*/g, word => other(word, seed))
    last = to
  }
  return { source: result + source.slice(last), texts: texts.length }
}

const WORD = /[\w$]+/y
const STRING = /'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"/sy
const COMMENT = /\/\/[^\n]*|\/\*.*?\*\//sy
const REGEX_OR_WORD = /[\w$]+|\/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\[])+\/\w*/y
/** Behind these, a slash divides. */
const IS_VALUE = /[\w$)\]}]$/
const BEFORE_REGEX = /^(?:return|typeof|case|in|of|do|else|void|await|yield)$/

/** The texts and templates of JavaScript as esbuild writes it. */
function textsIn(source: string): (readonly Part[])[] {
  const texts: (readonly Part[])[] = []
  let at = 0
  let before = ''
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(source)?.[0]
    at += found?.length ?? 0
    return found
  }
  const isDivided = (): boolean => IS_VALUE.test(before) && !BEFORE_REGEX.test(before)
  const template = (): void => {
    const parts: Part[] = []
    for (let from = ++at; ; at++) {
      if (source[at] === '\\') at++
      else if (source[at] === '`' || source.startsWith('${', at)) {
        parts.push([from, at])
        if (source[at++] === '`') break
        at++
        code('}')
        from = at--
      }
    }
    texts.push(parts)
  }
  /** Reads up to this bracket, and past it. */
  const code = (end: string): void => {
    for (let depth = 0; at < source.length; ) {
      const from = at
      const sign = source[at]!
      if (sign === '`') template()
      else if (take(STRING) !== undefined) texts.push([[from + 1, at - 1]])
      else if (take(COMMENT) !== undefined) continue
      else if (take(isDivided() ? WORD : REGEX_OR_WORD) === undefined) {
        at++
        if (sign.trim() === '') continue
        if (sign === '{') depth++
        if (sign === '}' && depth-- === 0 && end === '}') return
      }
      before = source.slice(from, at)
    }
  }
  code('')
  return texts
}

/** Another word, always the same for one seed. */
const other = (word: string, seed: string): string =>
  createHash('sha256')
    .update(seed + word)
    .digest('hex')
    .slice(0, 8)
    .replace(/\d/g, digit => 'ghijklmnop'[Number(digit)]!)
