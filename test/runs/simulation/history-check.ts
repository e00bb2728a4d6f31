import { SALVAGED_HEADER } from '../../../src/producer/log/salvage.js'
import type { History, Logged, Rule } from '../../support/history-checker.js'
import type { Departure, Departures } from './departures.js'
import type { ToldReceipt } from './gateway-disk.js'
import { idOf } from './record-text.js'
import type { Violation } from './violation.js'

/** What is known to have been written where, and what may happen there. */
export interface HistoryCheck {
  readonly history: History
  /** The logs its records may be in: one, or several where a topic had several lives. */
  lives(): readonly (readonly Logged[])[]
  /** What Kafka itself does there. */
  readonly tolerates: readonly Rule[]
  /** Whether a record that was sent so may be there twice. Absent: none may. */
  mayDouble?(departures: readonly Departure[], id: string): boolean
  /** Records that are kept elsewhere instead, because Kafka refused them. */
  setAside?(): readonly Logged[]
  /** Kafka refuses records for good: otherwise none may be set aside. */
  readonly mayBeRefused?: boolean
  /** A record that the disk has refused may be on it, and be sent after a restart. */
  readonly mayBeOnDisk?: boolean
  /** Nothing goes wrong and there is capacity for everything: each record is in Kafka. */
  readonly isCalm?: boolean
  /** What receipts have said, and what those of acknowledged records say in the end. */
  receipts?(): readonly ToldReceipt[]
  /** The places that receipts name. Absent: those of `lives`. */
  places?(): readonly Logged[]
  /** Whether a receipt may not know any more what became of its record. */
  mayForget?(): boolean
  /** So many records may be lost, since somebody was told. */
  lossesTold?(): number
}

/** An acknowledged record may be in another life of its topic. */
const PER_LIFE: readonly Rule[] = ['lost', 'misplaced']
/** A record whose outcome is unknown may be in two lives, and lives do not follow each other offset by offset. */
const OVER_LIVES: readonly Rule[] = ['duplicated', 'reordered', 'split', 'misplaced']

const WRONG_WHEREVER: readonly Rule[] = ['invented', 'damaged', 'ghost']

/** Each life by itself is as strict as a log that lives for ever, and together they hold everything. */
export function checkHistory(check: HistoryCheck, departures: Departures): Violation[] {
  const { history, setAside, lossesTold, mayBeRefused = false } = check
  const kept = setAside?.() ?? []
  const keptIds = new Set(kept.map(idOf))
  const inLog = checkLogs(check, departures).filter(({ rule, what }) => rule !== 'lost' || !keptIds.has(what))
  const lost = inLog.filter(({ rule }) => rule === 'lost').length
  const isTold = lost <= (lossesTold?.() ?? 0)
  const wrongAside = violationsIn(history, kept, []).filter(({ rule }) => WRONG_WHEREVER.includes(rule as Rule))
  const aside = mayBeRefused ? [] : kept.map(({ value }) => ({ rule: 'set aside', what: value.slice(0, 40) }))
  const shown = inLog.filter(({ rule }) => rule !== 'lost' || !isTold)
  return [...shown, ...wrongAside, ...aside, ...checkAnswers(check, departures), ...checkReceipts(check, keptIds)]
}

/** Whether receipts tell what Kafka has. */
function checkReceipts(check: HistoryCheck, keptIds: ReadonlySet<string | undefined>): Violation[] {
  const { receipts, mayForget, lives, places = () => lives().flat(), tolerates } = check
  const told = receipts?.() ?? []
  if (told.length === 0 || tolerates.length > 0) return []
  const logged = places()
  const ids = new Set(logged.map(idOf))
  const placed = new Set(logged.map(record => `${idOf(record)} ${record.topic}/${record.partition}@${record.offset}`))
  const isForgetful = mayForget?.() ?? false
  const isTrue = ({ id, state, topic, partition, offset = -1, ...more }: ToldReceipt): boolean => {
    const { isAsked = false, mayBeUnknown = false, isRetried = false } = more
    switch (state) {
      case 'inKafka':
        return offset < 0 ? ids.has(id) : placed.has(`${id} ${topic}/${partition}@${offset}`)
      case 'deadLetter':
        return keptIds.has(id)
      case 'waiting':
        return isAsked
      case 'lost':
      case 'refused':
        return isAsked && (isRetried || !ids.has(id))
      default:
        return state === 'unknown' && (mayBeUnknown || isForgetful)
    }
  }
  return told.flatMap(one => {
    const { id, state, topic, partition, offset } = one
    return isTrue(one) ? [] : [{ rule: 'untrue receipt', what: `${id}: ${state} ${topic}/${partition}@${offset}` }]
  })
}

/** Whether those who were told of a failure were told what was certain. */
function checkAnswers(
  { history, isCalm = false, mayBeOnDisk = false }: HistoryCheck,
  departures: Departures
): Violation[] {
  const violations: Violation[] = []
  for (const { id, outcome } of history.sent) {
    const isUnknown = outcome?.type === 'unknown' && outcome.answered && !outcome.isAssumed
    // What was never sent is certain not to be there.
    if (isUnknown && !mayBeOnDisk && departures.of(id).length === 0)
      violations.push({ rule: 'unknown though unsent', what: id })
    if (isCalm && outcome?.type !== 'ok') violations.push({ rule: 'failed', what: `${id}: ${outcome?.type}` })
  }
  return violations
}

function checkLogs(check: HistoryCheck, departures: Departures): Violation[] {
  const { mayDouble } = check
  const all = violationsOverLives(check)
  if (mayDouble === undefined) return all
  return all.filter(({ rule, what }) => rule !== 'duplicated' || !mayDouble(departures.of(idIn(what)), idIn(what)))
}

function violationsOverLives({ history, lives, tolerates, mayDouble }: HistoryCheck): Violation[] {
  const logs = lives()
  const isOne = logs.length === 1
  const overLives = OVER_LIVES.filter(rule => rule !== 'duplicated' || mayDouble === undefined)
  const together = violationsIn(history, logs.flat(), [...tolerates, ...(isOne ? [] : overLives)])
  if (isOne) return together
  const apart = logs.flatMap(log => violationsIn(history, log, [...tolerates, ...PER_LIFE]))
  return [...together, ...apart]
}

const idIn = (what: string): string => what.split(',')[0]!

/** What an operator has put back may lie behind later records of its key, and says so. */
const OF_ORDER: readonly Rule[] = ['reordered', 'split']
const FLAG = new RegExp(`\\|${SALVAGED_HEADER}=\\d+$`)

function violationsIn(history: History, log: readonly Logged[], tolerates: readonly Rule[]): Violation[] {
  const unflagged = log.map(record => ({ ...record, value: record.value.replace(FLAG, '') }))
  const ordered = log.filter(({ value }) => !FLAG.test(value))
  const inOrder = ordered.length === log.length
  const all = history.check(unflagged, idOf).violations.filter(({ rule }) => inOrder || !OF_ORDER.includes(rule))
  const ofOrder = inOrder ? [] : history.check(ordered, idOf).violations.filter(({ rule }) => OF_ORDER.includes(rule))
  return [...all, ...ofOrder].filter(({ rule }) => !tolerates.includes(rule))
}
