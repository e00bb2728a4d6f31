/**
 * What a test's own clients did, and whether the log agrees. The clients write down every record before they send it
 * and every answer they get; afterwards the whole log is read by an independent client and compared.
 * The rules are those of Jepsen's Kafka checker, as far as a producer's side goes.
 */

/** What a client knows about a record it sent. `unknown`: answered so (`answered`), or the connection was lost. */
export type Outcome =
  | { readonly type: 'ok'; readonly partition?: number; readonly offset?: number }
  | { readonly type: 'fail' }
  | { readonly type: 'unknown'; readonly answered: boolean }

/** One record that was sent. Its place in the history is the order of its sending among those of its key. */
export interface Sent {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly value: string
  /** Absent at the end of a run: the request was never answered. */
  outcome?: Outcome
}

/** One record as it was read back. */
export interface Logged {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly value: string
}

export type Rule =
  /** Acknowledged, but not in the log. */
  | 'lost'
  /** Refused for certain, but in the log. */
  | 'ghost'
  /** In the log, but nobody sent it. */
  | 'invented'
  /** In the log with another topic, key or value than was sent. */
  | 'damaged'
  /** In the log more than once. */
  | 'duplicated'
  /** Behind a record of its key that was sent after it. */
  | 'reordered'
  /** Acknowledged for another partition or offset than it has. */
  | 'misplaced'
  /** In another partition than earlier records of its key. */
  | 'split'
  /** Answered more than once. */
  | 'answeredTwice'
  /** Never answered. */
  | 'unanswered'

export interface Violation {
  readonly rule: Rule
  readonly what: string
}

/** Counts of what was compared, and everything that is wrong. */
export interface Verdict {
  readonly sent: number
  readonly ok: number
  readonly failed: number
  readonly unknown: number
  readonly logged: number
  readonly violations: readonly Violation[]
}

/** The record of what clients did. Ids must be unique. */
export class History {
  readonly #sent = new Map<string, Sent>()
  readonly #answeredTwice: string[] = []

  /** Notes a record before it is sent. Records of one key must be noted in the order they are sent. */
  invoke(record: Omit<Sent, 'outcome'>): void {
    if (this.#sent.has(record.id)) throw new Error(`id ${record.id} was used before`)
    this.#sent.set(record.id, { ...record })
  }

  /** Notes the one answer to a record. */
  complete(id: string, outcome: Outcome): void {
    const sent = this.#sent.get(id)
    if (!sent) throw new Error(`id ${id} was never sent`)
    if (sent.outcome) this.#answeredTwice.push(id)
    else sent.outcome = outcome
  }

  get sent(): Iterable<Sent> {
    return this.#sent.values()
  }

  get size(): number {
    return this.#sent.size
  }

  /**
   * Compares with everything that is in the log.
   *
   * @param idOf finds the id in a record that was read; `undefined` when there is none
   */
  check(log: Iterable<Logged>, idOf: (record: Logged) => string | undefined): Verdict {
    const found = new Map<string, Logged[]>()
    const violations: Violation[] = this.#answeredTwice.map(id => ({ rule: 'answeredTwice', what: id }))
    let logged = 0
    for (const record of log) {
      logged++
      const id = idOf(record)
      if (id === undefined || !this.#sent.has(id)) violations.push({ rule: 'invented', what: describe(record) })
      else push(found, id, record)
    }
    for (const sent of this.#sent.values()) violations.push(...checkOne(sent, found.get(sent.id) ?? []))
    violations.push(...checkOrder(this.#sent.values(), found))
    return { ...this.#counts(), logged, violations }
  }

  #counts(): Pick<Verdict, 'sent' | 'ok' | 'failed' | 'unknown'> {
    const counts = { sent: this.#sent.size, ok: 0, failed: 0, unknown: 0 }
    for (const { outcome } of this.#sent.values()) {
      if (outcome?.type === 'ok') counts.ok++
      else if (outcome?.type === 'fail') counts.failed++
      else counts.unknown++
    }
    return counts
  }
}

function checkOne(sent: Sent, found: readonly Logged[]): Violation[] {
  const violations: Violation[] = []
  const say = (rule: Rule, what = sent.id): unknown => violations.push({ rule, what })
  const { outcome } = sent
  if (!outcome) say('unanswered')
  if (outcome?.type === 'ok' && found.length === 0) say('lost')
  if (outcome?.type === 'fail' && found.length > 0) say('ghost', `${sent.id}, found ${describe(found[0]!)}`)
  if (found.length > 1) say('duplicated', `${sent.id}, found ${found.map(describe).join(' and ')}`)
  for (const record of found) {
    const isSame = record.topic === sent.topic && record.key === sent.key && record.value === sent.value
    if (!isSame) say('damaged', `${sent.id}, found ${describe(record)}`)
  }
  if (outcome?.type === 'ok' && found.length > 0 && !found.some(record => isAt(record, outcome))) {
    say('misplaced', `${sent.id}, acknowledged at ${outcome.partition}/${outcome.offset}, found ${describe(found[0]!)}`)
  }
  return violations
}

const isAt = (record: Logged, place: { readonly partition?: number; readonly offset?: number }): boolean =>
  record.partition === (place.partition ?? record.partition) && record.offset === (place.offset ?? record.offset)

/**
 * First occurrences of each key's records must lie in the order they were sent. A record whose connection was lost is
 * left out: it may have been on its way still when the next one was sent.
 */
function checkOrder(all: Iterable<Sent>, found: ReadonlyMap<string, readonly Logged[]>): Violation[] {
  const violations: Violation[] = []
  const last = new Map<string, Logged>()
  for (const sent of all) {
    const record = found.get(sent.id)?.reduce((first, other) => (other.offset < first.offset ? other : first))
    if (!record || (sent.outcome?.type === 'unknown' && !sent.outcome.answered)) continue
    const lane = `${sent.topic}/${sent.key}`
    const before = last.get(lane)
    if (before && before.partition !== record.partition) {
      violations.push({ rule: 'split', what: `${sent.id}: ${describe(record)} after ${describe(before)}` })
    } else if (before && before.offset > record.offset) {
      violations.push({ rule: 'reordered', what: `${sent.id}: ${describe(record)} was sent after ${describe(before)}` })
    } else last.set(lane, record)
  }
  return violations
}

const describe = (record: Logged): string =>
  `${record.topic}/${record.partition}@${record.offset} (key ${record.key.slice(0, 40)}, ${record.value.slice(0, 40)})`

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const values = map.get(key)
  if (values) values.push(value)
  else map.set(key, [value])
}

/** Violations per rule and the first few of each: what a failed run prints. */
export function explain(verdict: Verdict): string {
  const byRule = new Map<Rule, Violation[]>()
  for (const violation of verdict.violations) push(byRule, violation.rule, violation)
  const counts = `${verdict.sent} sent: ${verdict.ok} ok, ${verdict.failed} failed, ${verdict.unknown} unknown; ${verdict.logged} in the log`
  const lines = [...byRule].flatMap(([rule, all]) => [
    `${rule}: ${all.length}`,
    ...all.slice(0, 5).map(violation => `  ${violation.what}`)
  ])
  return [counts, ...(lines.length > 0 ? lines : ['nothing lost, invented, damaged, duplicated or reordered'])].join(
    '\n'
  )
}
