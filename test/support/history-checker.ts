import { createHash } from 'node:crypto'

/**
 * What a test's own clients did, and whether the log agrees. The clients write down every record before they send it
 * and every answer they get; afterwards the whole log is read by an independent client and compared.
 * The rules are those of Jepsen's Kafka checker, as far as a producer's side goes.
 */

/**
 * What a client knows about a record it sent. `unknown`: answered so (`answered`), or the connection was lost. `isAssumed`: what was
 * answered said less, or was true only as long as the process lived.
 */
export type Outcome =
  /** `timestampMs`: the time that it was said to have in the log. */
  | { readonly type: 'ok'; readonly partition?: number; readonly offset?: number; readonly timestampMs?: number }
  | { readonly type: 'fail' }
  | { readonly type: 'unknown'; readonly answered: boolean; readonly isAssumed?: boolean }

/** One record that was sent. Its place in the history is the order of its sending among those of its key. */
export interface Sent {
  readonly id: string
  readonly topic: string
  readonly key: string
  /** 0, 1, 2 … among the records of its topic and key. */
  readonly counter: number
  /** Of its value: histories are long, and values need not be kept. */
  readonly hash: string
  /** Absent at the end of a run: the request was never answered. */
  outcome?: Outcome
  /** Which one it was sent over; absent: none. */
  connection?: number
  /** The time it has to have in the log. Absent: any. */
  readonly timestampMs?: number | undefined
  /** It has no key that decides about its partition, so it may lie before or behind any other. */
  readonly isUnordered?: boolean | undefined
}

/** A record that is about to be sent. */
export interface Invoked extends Pick<Sent, 'id' | 'topic' | 'key' | 'timestampMs' | 'isUnordered'> {
  readonly value: string
}

/** One record as it was read back. */
export interface Logged {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly value: string
  /** Absent: it was not read. */
  readonly timestampMs?: number
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
  /** In the log with another time than was asked for or acknowledged. */
  | 'mistimed'
  /** In another partition than earlier records of its key. */
  | 'split'
  /** Answered more than once. */
  | 'answeredTwice'
  /** Never answered. */
  | 'unanswered'

/** What a key, value or header that is null is written as: no byte is this character. */
export const NULL_TEXT = '∅'

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

/** Told of everything that is written into a history, at once. */
export interface HistorySink {
  invoked(sent: Sent): void
  sentOver(id: string, connection: number): void
  completed(id: string, outcome: Outcome): void
}

export interface CheckRules {
  /**
   * Whether also records whose connection was lost keep the order of their key. Right when the process that lost them
   * was dead before the next one was sent.
   */
  readonly areLostOnesOrdered?: boolean
  /**
   * Whether records of a key keep their order whatever connection they came over. Otherwise they keep that of their
   * connection, and come behind those that were known to be in Kafka before. Default: yes.
   */
  readonly areConnectionsOrdered?: boolean
}

/** The record of what clients did. Ids must be unique. */
export class History {
  readonly #sent = new Map<string, Sent>()
  readonly #counters = new Map<string, number>()
  readonly #answeredTwice: string[] = []
  readonly #sink: HistorySink | undefined
  #okCount = 0

  constructor(sink?: HistorySink) {
    this.#sink = sink
  }

  /** Notes a record before it is sent. Records of one key must be noted in the order they are sent. */
  invoke({ value, ...invoked }: Invoked): void {
    const { id, topic, key } = invoked
    const producer = producerOf({ topic, key })
    const counter = this.#counters.get(producer) ?? 0
    this.restore({ ...invoked, counter, hash: hashOf(value) })
    this.#counters.set(producer, counter + 1)
    this.#sink?.invoked(this.#sent.get(id)!)
  }

  /** Notes a record as another process has noted it. */
  restore(sent: Omit<Sent, 'outcome'>): void {
    if (this.#sent.has(sent.id)) throw new Error(`id ${sent.id} was used before`)
    this.#sent.set(sent.id, { ...sent })
  }

  /** Notes the connection of a record. */
  sentOver(id: string, connection: number): void {
    const sent = this.#sent.get(id)
    if (!sent) throw new Error(`id ${id} was never sent`)
    sent.connection = connection
    this.#sink?.sentOver(id, connection)
  }

  /** Notes the one answer to a record. */
  complete(id: string, outcome: Outcome): void {
    const sent = this.#sent.get(id)
    if (!sent) throw new Error(`id ${id} was never sent`)
    if (sent.outcome) this.#answeredTwice.push(id)
    else sent.outcome = outcome
    if (outcome.type === 'ok') this.#okCount++
    this.#sink?.completed(id, outcome)
  }

  /** Everything that was sent, in that order. */
  get sent(): Iterable<Sent> {
    return this.#sent.values()
  }

  /** Records that were acknowledged. */
  get okCount(): number {
    return this.#okCount
  }

  /**
   * Compares with everything that is in the log.
   *
   * @param idOf finds the id in a record that was read; `undefined` when there is none
   */
  check(log: Iterable<Logged>, idOf: (record: Logged) => string | undefined, rules: CheckRules = {}): Verdict {
    const found = new Map<string, Found[]>()
    const violations: Violation[] = this.#answeredTwice.map(id => ({ rule: 'answeredTwice', what: id }))
    let logged = 0
    for (const record of log) {
      logged++
      const id = idOf(record)
      const sent = id === undefined ? undefined : this.#sent.get(id)
      if (sent) push(found, sent.id, toFound(record, sent))
      else violations.push({ rule: 'invented', what: describe(record) })
    }
    for (const sent of this.#sent.values()) violations.push(...checkOne(sent, found.get(sent.id) ?? []))
    violations.push(...checkOrder(this.#sent.values(), found, rules))
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

/** What is kept of a record that was read back. */
interface Found {
  readonly partition: number
  readonly offset: number
  readonly timestampMs?: number | undefined
  /** What it is instead of what was sent; absent: topic, key and value are the same. */
  readonly damage?: string
}

const toFound = (record: Logged, sent: Sent): Found => {
  const { partition, offset, timestampMs } = record
  const isSame = record.topic === sent.topic && record.key === sent.key && hashOf(record.value) === sent.hash
  return isSame ? { partition, offset, timestampMs } : { partition, offset, timestampMs, damage: describe(record) }
}

const placeOf = ({ topic, key }: Sent, { partition, offset }: Found): string =>
  `${topic}/${partition}@${offset} (key ${key.slice(0, 40)})`

const hashOf = (value: string): string => createHash('sha1').update(value).digest('base64').slice(0, 16)

const producerOf = ({ topic, key }: Pick<Sent, 'topic' | 'key'>): string => `${topic}/${key}`

function checkOne(sent: Sent, found: readonly Found[]): Violation[] {
  const violations: Violation[] = []
  const say = (rule: Rule, what = sent.id): unknown => violations.push({ rule, what })
  const { outcome } = sent
  if (!outcome) say('unanswered')
  if (outcome?.type === 'ok' && found.length === 0) say('lost')
  if (outcome?.type === 'fail' && found.length > 0) say('ghost', `${sent.id}, found ${placeOf(sent, found[0]!)}`)
  if (found.length > 1) say('duplicated', `${sent.id}, found ${found.map(one => placeOf(sent, one)).join(' and ')}`)
  for (const { damage } of found) if (damage !== undefined) say('damaged', `${sent.id}, found ${damage}`)
  for (const { timestampMs } of found) {
    const told = outcome?.type === 'ok' ? outcome.timestampMs : undefined
    const wrong = [sent.timestampMs, told].find(ms => ms !== undefined && ms !== timestampMs)
    if (timestampMs !== undefined && wrong !== undefined)
      say('mistimed', `${sent.id}, ${timestampMs} instead of ${wrong}`)
  }
  if (outcome?.type === 'ok' && found.length > 0 && !found.some(record => isAt(record, outcome))) {
    say(
      'misplaced',
      `${sent.id}, acknowledged at ${outcome.partition}/${outcome.offset}, found ${placeOf(sent, found[0]!)}`
    )
  }
  return violations
}

const isAt = (record: Found, place: { readonly partition?: number; readonly offset?: number }): boolean =>
  record.partition === (place.partition ?? record.partition) && record.offset === (place.offset ?? record.offset)

/**
 * First occurrences of each key's records must lie in the order they were sent. A record whose connection was lost is
 * left out, unless the rules say otherwise: it may have been on its way still when the next one was sent.
 */
function checkOrder(
  all: Iterable<Sent>,
  found: ReadonlyMap<string, readonly Found[]>,
  { areLostOnesOrdered = false, areConnectionsOrdered = true }: CheckRules
): Violation[] {
  const violations: Violation[] = []
  const last = new LastOfKeys(areConnectionsOrdered)
  for (const sent of all) {
    if (sent.isUnordered) continue
    const record = found.get(sent.id)?.reduce((first, other) => (other.offset < first.offset ? other : first))
    const isLost = sent.outcome?.type === 'unknown' && !sent.outcome.answered
    if (!record || (isLost && !areLostOnesOrdered)) continue
    const before = last.before(sent)
    if (before && before.partition !== record.partition) {
      violations.push({ rule: 'split', what: `${sent.id}: ${placeOf(sent, record)} after ${placeOf(sent, before)}` })
    } else if (before && before.offset > record.offset) {
      violations.push({
        rule: 'reordered',
        what: `${sent.id}: ${placeOf(sent, record)} was sent after ${placeOf(sent, before)}`
      })
    } else last.add(sent, record)
  }
  return violations
}

/** The last records of each key: of all, or of each connection and of those that were known to be in Kafka. */
class LastOfKeys {
  readonly #areConnectionsOrdered: boolean
  readonly #last = new Map<string, Found>()

  constructor(areConnectionsOrdered: boolean) {
    this.#areConnectionsOrdered = areConnectionsOrdered
  }

  /** What a record has to come behind. */
  before(sent: Sent): Found | undefined {
    const producer = producerOf(sent)
    const [own, other] = [this.#last.get(`${producer} ${this.#groupOf(sent)}`), this.#last.get(`${producer} inKafka`)]
    if (own === undefined || other === undefined) return own ?? other
    return own.offset > other.offset ? own : other
  }

  add(sent: Sent, record: Found): void {
    const producer = producerOf(sent)
    this.#last.set(`${producer} ${this.#groupOf(sent)}`, record)
    if (sent.outcome?.type === 'ok' && sent.outcome.offset !== undefined) this.#last.set(`${producer} inKafka`, record)
  }

  #groupOf({ id, connection }: Sent): string {
    if (this.#areConnectionsOrdered) return 'all'
    return connection === undefined ? `record ${id}` : `connection ${connection}`
  }
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
