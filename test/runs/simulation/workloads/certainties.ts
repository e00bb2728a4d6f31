/** The header in which every answer of a gateway says whether the records are in Kafka. */
export const PERSISTED = 'x-castellan-persisted'
export const RECEIPT = 'x-castellan-receipt'
/** The answer was given before, and stays the same. */
export const REPLAYED = 'idempotent-replayed'

/** Statuses of requests that were given up before they were whole: they have no headers of ours. */
export const neverRead: ReadonlySet<number> = new Set([400, 408])

const words: Readonly<Record<string, string>> = { y: 'yes', n: 'no', u: 'unknown', p: 'pending' }

/** One word for all records, or a letter for each. `undefined`: neither. */
export function certaintiesIn(persisted: string, records: number): readonly string[] | undefined {
  if (Object.values(words).includes(persisted)) return new Array<string>(records).fill(persisted)
  const certainties = [...persisted].flatMap(letter => words[letter] ?? [])
  return persisted.length === records && certainties.length === records ? certainties : undefined
}
