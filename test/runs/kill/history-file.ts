import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { History, type HistorySink, type Outcome, type Sent } from '../../support/history-checker.js'

const FLUSH_BYTES = 64 * 1024

/**
 * A history in a file that is only appended to, one line for each thing that happened:
 *
 *   invoke   ID TOPIC KEY COUNTER HASH
 *   over     ID CONNECTION
 *   ok       ID [PARTITION OFFSET]
 *   fail     ID
 *   unknown  ID answered|lost
 *
 * Topic and key are encoded as in a URL. The lines of one turn are written together at its end.
 */
export class HistoryFile implements HistorySink {
  readonly #descriptor: number
  #lines: string[] = []
  #bytes = 0
  #isScheduled = false

  constructor(path: string) {
    this.#descriptor = openSync(path, 'ax')
  }

  invoked({ id, topic, key, counter, hash }: Sent): void {
    this.#add(`invoke ${id} ${encodeURIComponent(topic)} ${encodeURIComponent(key)} ${counter} ${hash}\n`)
  }

  sentOver(id: string, connection: number): void {
    this.#add(`over ${id} ${connection}\n`)
  }

  completed(id: string, outcome: Outcome): void {
    this.#add(`${outcome.type} ${[id, ...detailsOf(outcome)].join(' ')}\n`)
  }

  close(): void {
    this.#flush()
    closeSync(this.#descriptor)
  }

  #add(line: string): void {
    this.#lines.push(line)
    this.#bytes += line.length
    if (this.#bytes >= FLUSH_BYTES) this.#flush()
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#lines.length === 0) return
    const bytes = Buffer.from(this.#lines.join(''))
    this.#lines = []
    this.#bytes = 0
    for (let written = 0; written < bytes.length; ) written += writeSync(this.#descriptor, bytes, written)
  }
}

function detailsOf(outcome: Outcome): (string | number)[] {
  if (outcome.type === 'unknown') return [outcome.answered ? 'answered' : 'lost']
  const { partition, offset } = outcome.type === 'ok' ? outcome : {}
  return partition === undefined || offset === undefined ? [] : [partition, offset]
}

/** The history that a file tells. */
export function readHistory(path: string): History {
  const history = new History()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [what, id, ...details] = line.split(' ')
    if (what === '' || id === undefined) continue
    if (what === 'invoke') history.restore({ id, ...toSent(details) })
    else if (what === 'over') history.sentOver(id, Number(details[0]))
    else history.complete(id, toOutcome(what!, details))
  }
  return history
}

function toSent([topic, key, counter, hash]: readonly string[]): Omit<Sent, 'id' | 'outcome'> {
  return { topic: decodeURIComponent(topic!), key: decodeURIComponent(key!), counter: Number(counter), hash: hash! }
}

function toOutcome(what: string, [first, second]: readonly string[]): Outcome {
  if (what === 'fail') return { type: 'fail' }
  if (what === 'unknown') return { type: 'unknown', answered: first === 'answered' }
  if (what !== 'ok') throw new Error(`a history does not know ${what}`)
  return first === undefined ? { type: 'ok' } : { type: 'ok', partition: Number(first), offset: Number(second) }
}
