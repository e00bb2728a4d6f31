import type { Trouble } from '../status/status.js'
import { countOf } from '../status/units.js'
import { keyOf } from './trouble-list.js'

/** More news than this are only counted: a reader cannot stop a list that is read out. */
const MAX_NAMED = 3

/** Says what has changed between two looks, for readers who do not see the list; `undefined`: nothing has. */
export function newsOf(before: readonly Trouble[] | undefined, now: readonly Trouble[]): string | undefined {
  if (before === undefined) return now.length === 0 ? 'All is well.' : `${countOf(now.length, 'trouble')}.`
  const [known, present] = [new Set(before.map(keyOf)), new Set(now.map(keyOf))]
  const begun = now.filter(row => !known.has(keyOf(row)))
  const ended = before.filter(row => !present.has(keyOf(row)))
  if (begun.length + ended.length === 0) return undefined
  const texts = [
    ...begun.slice(0, MAX_NAMED).map(({ subject, cause }) => `New: ${subject}. ${cause}`),
    ...(begun.length > MAX_NAMED ? [`${begun.length - MAX_NAMED} more are new.`] : []),
    ...ended.slice(0, MAX_NAMED).map(({ subject }) => `Over: ${subject}.`)
  ]
  return now.length === 0 ? 'All is well again.' : texts.join(' ')
}
