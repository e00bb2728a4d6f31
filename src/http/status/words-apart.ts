import type { Notice } from '../../core/notice.js'
import { BEYOND_END } from '../../verbs/lag.js'
import { type FoundRecords, type RecordQuestion, withCaveat } from './record-question.js'
import type { Status, Trouble } from './status.js'
import { type Judged, troubleOf } from './trouble.js'

/** Members whose texts are ours, Kafka's names of errors, or words of the configuration. All others are words of others. */
const OWN: ReadonlySet<string> = new Set([
  ...['api', 'asOf', 'at', 'broker', 'by', 'cluster', 'code', 'comparedWith', 'differentIsolation', 'error', 'how'],
  ...['kind', 'level', 'name', 'of', 'reason', 'setting', 'state', 'validTo', 'version', 'what']
])
/** Values of members that have words of others elsewhere. */
const OWN_TEXTS: ReadonlySet<string> = new Set([BEYOND_END, 'refused', 'tooLarge', 'noAnswer'])
/** Characters of a word that are given. */
const MAX_WORD = 256
const PLACE = /\{w(\d+)\}/g

/** Words that others have written, by their places in texts of ours: `w1` for `{w1}`. */
export type WordsByPlace = Readonly<Record<string, string>>

/** A row of trouble, in whose texts `{w1}` stands for words of others: names of topics and groups, messages of Kafka. */
export interface TroubleApart extends Trouble {
  readonly words: WordsByPlace
}

/** Records that were found. In the caveat, `{w1}` stands for words of others. */
export type FoundApart = FoundRecords & { readonly words?: WordsByPlace }

/**
 * Takes words of others out of what sentences are made of, for readers that may take a sentence for an instruction.
 *
 *   { group: 'billing', message: 'not allowed' }   =>   { group: '{w1}', message: '{w2}' }
 */
export class WordsApart {
  readonly #words: string[] = []
  readonly #places = new Map<string, string>()

  /** A copy in which places stand for words of others. The same word has the same place. */
  without<Value>(value: Value): Value {
    return this.#copy('', value) as Value
  }

  /** Texts with places of their own, from `w1` on. */
  told<Texts extends Readonly<Record<string, string>>>(texts: Texts): Texts & { readonly words: WordsByPlace } {
    const own = new Map<string, string>()
    const place = (_: string, at: string): string => {
      if (!own.has(at)) own.set(at, `w${own.size + 1}`)
      return `{${own.get(at)}}`
    }
    const entries = Object.entries(texts).map(([name, text]) => [name, text.replace(PLACE, place)] as const)
    const words = Array.from(own, ([at, name]) => [name, this.#words[Number(at)]!] as const)
    return { ...(Object.fromEntries(entries) as Texts), words: Object.fromEntries(words) }
  }

  #copy(name: string, value: unknown): unknown {
    if (typeof value === 'string') return OWN.has(name) || OWN_TEXTS.has(value) ? value : this.#placeOf(value)
    if (Array.isArray(value)) return value.map(one => this.#copy(name, one))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([member, one]) => [member, this.#copy(member, one)]))
  }

  #placeOf(word: string): string {
    let place = this.#places.get(word)
    if (place === undefined) {
      place = `{w${this.#words.length}}`
      this.#places.set(word, place)
      this.#words.push(word.length > MAX_WORD ? `${word.slice(0, MAX_WORD)}…` : word)
    }
    return place
  }
}

/** {@link troubleOf}, with words of others apart. */
export function troubleApartOf(judged: Judged, notices: readonly Notice[] = []): TroubleApart[] {
  const apart = new WordsApart()
  const rows = troubleOf(apart.without(judged), apart.without(notices))
  return rows.map(({ severity, ...texts }) => ({ severity, ...apart.told(texts) }))
}

/** {@link withCaveat}, whose sentences have words of others apart. */
export function caveatApartOf(found: FoundRecords, question: RecordQuestion, status: Status): FoundApart {
  const apart = new WordsApart()
  const { caveat } = withCaveat(found, apart.without(question), apart.without(status))
  return caveat === undefined ? found : { ...found, ...apart.told({ caveat }) }
}
