import { journalName, type LogDirectory, tryTo } from './files.js'
import { type Progress, ProgressJournal } from './progress-journal.js'

export interface ProgressRecorderOptions {
  readonly directory: LogDirectory
  /** Size limit of the whole log. */
  readonly maxBytes: number
  /** Ids of the journals that were found; a new one replaces them. */
  readonly foundIds: readonly number[]
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** The current state, as a new journal begins with it. */
  readonly snapshot: () => Iterable<Progress>
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
}

/** A journal that grew by this, and to twice its first size, is written anew. */
const MAX_GROWTH_BYTES = 16 * 1024 * 1024
/** Share of the log's limit by which the journal may grow, so that the journal of a small log stays small. */
const GROWTH_SHARE = 1 / 8

/**
 * Writes the progress journal. One journal is open at a time; it begins with a snapshot of the state. What cannot be
 * written is kept in memory until a new journal is written.
 */
export class ProgressRecorder {
  readonly #options: ProgressRecorderOptions
  #journal: ProgressJournal | undefined
  #nextId: number
  #maxBytes = 0
  /** Files that are removed once a new journal is written. */
  #old: string[]
  #syncs = 0

  constructor(options: ProgressRecorderOptions) {
    this.#options = options
    this.#old = options.foundIds.map(journalName)
    this.#nextId = (options.foundIds.at(-1) ?? 0) + 1
  }

  get sizeBytes(): number {
    return this.#journal?.sizeBytes ?? 0
  }
  get syncs(): number {
    return this.#syncs
  }

  /** @returns false when it could not be written, and will be lost in a crash */
  write(progress: readonly Progress[]): boolean {
    try {
      if (!this.#journal) this.renew()
      this.#journal!.append(progress)
      if (this.#journal!.sizeBytes > this.#maxBytes) this.renew()
      return true
    } catch (error) {
      this.#break(error)
      return false
    }
  }

  /** Writes an entry that may be lost: a failure is ignored. */
  mark(progress: Progress): void {
    const journal = this.#journal
    if (journal === undefined) return
    tryTo(() => {
      journal.append([progress])
      if (journal.sizeBytes > this.#maxBytes) this.renew()
    })
  }

  /** Makes everything written survive a power cut. */
  sync(): boolean {
    if (!this.#journal) return false
    try {
      this.#journal.sync()
      this.#syncs++
      return true
    } catch (error) {
      this.#break(error)
      return false
    }
  }

  /** Writes a new journal after a failure. */
  mend(): void {
    if (!this.#journal && this.#old.length > 0) tryTo(() => this.renew())
  }

  /** Makes sure that a journal is open. @throws when it cannot be written */
  ensure(): void {
    if (!this.#journal) this.renew()
  }

  /** Writes the current state into a new journal, and removes the old ones. @throws when it cannot be written */
  renew(): void {
    const { directory, maxBytes, newSalt, snapshot } = this.#options
    const old = this.#journal
    const id = this.#nextId++
    try {
      this.#journal = ProgressJournal.create(directory, id, newSalt(), snapshot())
    } catch (error) {
      tryTo(() => directory.remove(journalName(id)))
      throw error
    }
    // A snapshot may be large, so it must not be written too often.
    const growthBytes = Math.min(maxBytes * GROWTH_SHARE, MAX_GROWTH_BYTES)
    this.#maxBytes = this.#journal.sizeBytes + Math.max(this.#journal.sizeBytes, growthBytes)
    if (old) this.#giveUp(old)
    this.#old = this.#old.filter(name => !tryTo(() => directory.remove(name)))
    tryTo(() => directory.sync())
  }

  close(): void {
    this.sync()
    this.#journal?.close()
    this.#journal = undefined
    this.#old = []
  }

  #break(error: unknown): void {
    this.#options.report({ err: error }, 'completions could not be written; they may be delivered again after a crash')
    const journal = this.#journal
    this.#journal = undefined
    if (journal) this.#giveUp(journal)
  }

  #giveUp(journal: ProgressJournal): void {
    this.#old.push(journalName(journal.id))
    tryTo(() => journal.close())
  }
}
