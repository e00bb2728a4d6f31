import { journalName } from './file-names.js'
import type { LogDirectory } from './files.js'
import { type Progress, ProgressJournal } from './progress-journal.js'
import { tryTo } from './try-to.js'

export interface ProgressRecorderOptions {
  readonly directory: LogDirectory
  /** Of the whole log. */
  readonly maxBytes: number
  /** Ids of the journals that were found; a new one replaces them. */
  readonly foundIds: readonly number[]
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** Everything that is true now. */
  readonly snapshot: () => Iterable<Progress>
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
}

/** A journal that grew by this, and to twice its first size, is written anew. */
const MAX_GROWTH_BYTES = 16 * 1024 * 1024
/** Of the limit of the log, which a small log must not spend on its journal. */
const GROWTH_SHARE = 1 / 8

/**
 * Keeps the progress journal: one is open at a time, and its beginning says everything that was true then. What cannot be
 * written stays true in memory, until a new journal has been written with it.
 */
export class ProgressRecorder {
  readonly #options: ProgressRecorderOptions
  #journal: ProgressJournal | undefined
  #nextId: number
  #maxBytes = 0
  /** Files that a new journal makes superfluous. */
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

  /** Returns false when it could not be written: after a crash it is as if it had not happened. */
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

  /** Writes what need not be kept: nothing is undone or reported when it could not be written. */
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

  /** A journal is open; one is made when there is none. @throws when it cannot be written */
  ensure(): void {
    if (!this.#journal) this.renew()
  }

  /** Writes what is true now into a new journal, and removes the old ones. @throws when it cannot be written */
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
    // What is still true may be large by itself: it must not be written again and again.
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
