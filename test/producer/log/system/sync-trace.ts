/**
 * Reads what `strace -f -y` wrote about writes to segments, their syncs, and answers, and says which answers left before a
 * sync had covered what they acknowledge.
 */

export interface SyncTrace {
  readonly answered: number
  /** Ids that were acknowledged although no successful sync had covered them. */
  readonly tooEarly: readonly string[]
  /** Segments whose sync failed and that were synced again. */
  readonly syncedAgain: readonly string[]
  readonly failedSyncs: number
  /** Ids that were acknowledged after the first sync that failed. */
  readonly answeredAfterFailure: number
}

export interface SyncTraceRules {
  /** Every id in bytes that are written to a segment. */
  readonly id: RegExp
  /** Ids that a write to something else than a segment acknowledges, in the order of `text`. */
  readonly acknowledged: (text: string, descriptor: string) => readonly string[]
  /** Told of what was read from something else than a segment. */
  readonly received?: (text: string, descriptor: string) => void
}

const CALL = /^(?:\[pid +)?(\d+)\]? +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$/
const UNFINISHED = ' <unfinished ...>'
const SEGMENT = /^\d+<([^>]*\.slab)>/

/** `23<socket:[4711]>` */
const descriptorOf = (text: string): string => /^\d+<[^>]*>/.exec(text)?.[0] ?? ''

/** What a thread is in the middle of. */
interface Call {
  readonly name: string
  readonly text: string
  readonly covered: readonly string[]
}

export function readSyncTrace(lines: Iterable<string>, rules: SyncTraceRules): SyncTrace {
  const reading = new Reading(rules)
  for (const line of lines) reading.line(line)
  return reading.result
}

class Reading {
  readonly #rules: SyncTraceRules
  readonly #calls = new Map<string, Call>()
  /** By segment: ids that are written and not covered by a sync. */
  readonly #written = new Map<string, string[]>()
  readonly #durable = new Set<string>()
  readonly #failed = new Set<string>()
  readonly #tooEarly: string[] = []
  readonly #syncedAgain: string[] = []
  readonly #answered = new Set<string>()
  #answeredAfterFailure = 0

  constructor(rules: SyncTraceRules) {
    this.#rules = rules
  }

  get result(): SyncTrace {
    return {
      answered: this.#answered.size,
      tooEarly: this.#tooEarly,
      syncedAgain: this.#syncedAgain,
      failedSyncs: this.#failed.size,
      answeredAfterFailure: this.#answeredAfterFailure
    }
  }

  line(line: string): void {
    const [, thread, name, text, resumed, rest] = CALL.exec(line) ?? []
    if (thread === undefined) return
    if (resumed !== undefined) this.#resume(thread, rest!)
    else if (text!.endsWith(UNFINISHED)) this.#calls.set(thread, this.#begin(name!, text!.slice(0, -UNFINISHED.length)))
    else this.#end(this.#begin(name!, text!), text!)
  }

  #resume(thread: string, rest: string): void {
    const call = this.#calls.get(thread)
    this.#calls.delete(thread)
    if (call) this.#end(call, rest)
  }

  /** An answer counts from the moment its write begins, a sync covers what was written when it began. */
  #begin(name: string, text: string): Call {
    const batchBuffer = SEGMENT.exec(text)?.[1]
    if (batchBuffer === undefined) this.#answer(name, text)
    return { name, text, covered: name === 'fdatasync' && batchBuffer ? (this.#written.get(batchBuffer) ?? []) : [] }
  }

  #answer(name: string, text: string): void {
    if (!name.startsWith('write')) return
    for (const id of this.#rules.acknowledged(text, descriptorOf(text))) {
      // A write that the pipe did not take is tried again.
      this.#answered.add(id)
      if (!this.#durable.has(id)) this.#tooEarly.push(id)
      if (this.#failed.size > 0) this.#answeredAfterFailure++
    }
  }

  #end({ name, text, covered }: Call, rest: string): void {
    const batchBuffer = SEGMENT.exec(text)?.[1]
    if (batchBuffer === undefined) {
      if (name === 'read') this.#rules.received?.(rest, descriptorOf(text))
      return
    }
    const isGood = / = \d+$/.test(rest)
    if (name === 'fdatasync') this.#synced(batchBuffer, covered, isGood)
    else if (isGood)
      this.#written.set(batchBuffer, [...(this.#written.get(batchBuffer) ?? []), ...(text.match(this.#rules.id) ?? [])])
  }

  #synced(batchBuffer: string, covered: readonly string[], isGood: boolean): void {
    if (this.#failed.has(batchBuffer)) this.#syncedAgain.push(batchBuffer)
    if (!isGood) {
      this.#failed.add(batchBuffer)
      return
    }
    for (const id of covered) this.#durable.add(id)
    this.#written.set(batchBuffer, (this.#written.get(batchBuffer) ?? []).slice(covered.length))
  }
}
