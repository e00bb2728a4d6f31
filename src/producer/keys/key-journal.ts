import { KEYS_DIRECTORY, type LogDirectory, type LogFile } from '../log/files.js'
import { ReadablePages } from '../log/unreadable.js'
import {
  answerIn,
  encodeFileHeader,
  encodeKeyFrame,
  FILE_HEADER_BYTES,
  hasKeyFrameFrom,
  type KeptAnswer,
  type KeyName,
  type KeyNews,
  keyFramesIn,
  type ReadFrame,
  saltIn
} from './key-frames.js'

/** Interval between two syncs of the journal: what was written longer ago survives a power cut. */
const SYNC_MS = 200
const FILE_NAME = /^(\d{16})\.keys$/

/** Where the answer to a request is. */
export interface AnswerPlace {
  readonly file: number
  readonly offset: number
  readonly sizeBytes: number
}

export interface KeyJournalOptions {
  readonly directory: LogDirectory
  /** A file of this size is closed, and the next one begun. */
  readonly fileBytes: number
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** Frames that wait for a disk that takes nothing. Default: 100,000. */
  readonly maxWaiting?: number | undefined
  /** Called when something could not be written: a crash loses it, until a later attempt succeeds. */
  readonly onFailure: (error: unknown) => void
  /** Called with the name of a file that cannot be read as a whole: its keys are forgotten. Absent: damage is not reported. */
  readonly onDamage?: ((file: string) => void) | undefined
}

interface KeyFile {
  readonly salt: number
  /** The latest claim in it. */
  newestMs: number
  sizeBytes: number
}

/** A frame that is not written yet. */
interface WaitingFrame {
  readonly key: KeyName
  readonly news: KeyNews
  readonly isObsolete?: (() => boolean) | undefined
  readonly written: ((place: AnswerPlace | undefined) => void) | undefined
}

/** Pause after frames could not be written. */
const RETRY_MS = 1_000
const MAX_WAITING = 100_000

/**
 * Keys, and what became of their requests, on disk below the directory of the durable log. Frames are only appended; a
 * file is removed when all of its keys have expired. All news of a tick are written together.
 */
export class KeyJournal {
  readonly #options: KeyJournalOptions
  readonly #directory: LogDirectory
  readonly #files = new Map<number, KeyFile>()
  #open: { readonly id: number; readonly file: LogFile } | undefined
  #lastId = 0
  /** Size of all files of the journal. */
  sizeBytes = 0
  #waiting: WaitingFrame[] = []
  #isScheduled = false
  #syncTimer: NodeJS.Timeout | undefined
  /** All records of the durable log that have a key and a lower sequence are in the journal, or wait to be written. */
  bound = 0
  /** The lowest sequence whose frame was dropped: the bound of no frame is higher. */
  #droppedFrom = Number.POSITIVE_INFINITY
  #retry: NodeJS.Timeout | undefined

  constructor(options: KeyJournalOptions) {
    this.#options = options
    this.#directory = options.directory.directory(KEYS_DIRECTORY)
  }

  /** Whether a durable log has a journal of keys. */
  static isIn(directory: LogDirectory): boolean {
    const names = directory.directory(KEYS_DIRECTORY, true)?.list() ?? []
    return names.some(name => FILE_NAME.test(name))
  }

  /** Reads all keys of a durable log; changes nothing. @returns the names of the damaged files */
  static damagedIn(directory: LogDirectory): readonly string[] {
    if (!KeyJournal.isIn(directory)) return []
    const damaged = new Set<string>()
    const onDamage = (file: string): void => void damaged.add(file)
    const journal = new KeyJournal({ directory, fileBytes: 0, newSalt: () => 0, onFailure: () => undefined, onDamage })
    for (const _ of journal.read());
    return [...damaged]
  }

  /** The frames of earlier processes, in their order, each with the number of its file. */
  *read(): Generator<ReadFrame & { readonly file: number }> {
    const ids = this.#directory.list().flatMap(name => Number(FILE_NAME.exec(name)?.[1] ?? []))
    for (const id of ids.toSorted((one, other) => one - other)) {
      this.#lastId = Math.max(this.#lastId, id)
      const bytes = this.#bytesOf(id)
      const salt = saltIn(bytes)
      if (salt === undefined) {
        if (bytes.length > 0) this.#options.onDamage?.(nameOf(id))
        continue
      }
      const file = { salt, newestMs: 0, sizeBytes: bytes.length }
      this.#files.set(id, file)
      this.sizeBytes += bytes.length
      let end = 0
      for (const frame of keyFramesIn(bytes, salt)) {
        end = frame.offset + frame.sizeBytes
        file.newestMs = Math.max(file.newestMs, frame.key.atMs)
        this.bound = Math.max(this.bound, frame.bound)
        yield { ...frame, file: id }
      }
      if (hasKeyFrameFrom(bytes, end, salt)) this.#options.onDamage?.(nameOf(id))
    }
  }

  #bytesOf(id: number): Buffer {
    const file = this.#directory.open(nameOf(id), 'read')
    try {
      return new ReadablePages(file).read(0, file.sizeBytes)
    } finally {
      file.close()
    }
  }

  /**
   * Adds a frame, which is written with all others of this tick.
   *
   * @param isObsolete asked before it is written
   * @param written called when it survives the death of the process, with its place. It is called without one when the
   * frame could not be written yet, and once more when it is.
   */
  add(
    key: KeyName,
    news: KeyNews,
    isObsolete?: () => boolean,
    written?: (place: AnswerPlace | undefined) => void
  ): void {
    this.#waiting.push({ key, news, isObsolete, written })
    if (this.#retry !== undefined) written?.(undefined)
    if (this.#isScheduled || this.#retry !== undefined) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  /** Writes everything that was added. While the disk takes nothing, that is tried again now and then. */
  flush(): void {
    if (this.#retry === undefined) this.#flush()
  }

  #flush(): void {
    if (this.#waiting.length === 0) return
    const all = this.#waiting
    this.#waiting = []
    const places: (AnswerPlace | undefined)[] = []
    try {
      this.#write(all, places)
    } catch (error) {
      this.#failed(all, error)
      return
    }
    for (let at = 0; at < all.length; at++) all[at]!.written?.(places[at])
  }

  /** Frames stay in their order: a frame says that all before it are in the journal. */
  #failed(all: readonly WaitingFrame[], error: unknown): void {
    this.#leave()
    this.#options.onFailure(error)
    const { maxWaiting = MAX_WAITING } = this.#options
    const dropped = Math.max(0, all.length - maxWaiting)
    for (const { news } of all.slice(0, dropped)) {
      if (news.type === 'stored') this.#droppedFrom = Math.min(this.#droppedFrom, news.sequence)
    }
    this.#waiting = all.slice(dropped)
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.#flush()
    }, RETRY_MS)
    for (const { written } of all) written?.(undefined)
  }

  #write(all: readonly WaitingFrame[], places: (AnswerPlace | undefined)[]): void {
    if (this.#open === undefined || this.#files.get(this.#open.id)!.sizeBytes >= this.#options.fileBytes) this.begin()
    const { id, file } = this.#open!
    const about = this.#files.get(id)!
    const frames: Buffer[] = []
    let end = about.sizeBytes
    for (const { key, news, isObsolete } of all) {
      if (isObsolete?.() === true) {
        places.push(undefined)
        continue
      }
      const bound = Math.min(this.bound, this.#droppedFrom)
      const frame = encodeKeyFrame({ key, bound, news }, about.salt)
      frames.push(frame)
      places.push({ file: id, offset: end, sizeBytes: frame.length })
      end += frame.length
      about.newestMs = Math.max(about.newestMs, key.atMs)
    }
    if (frames.length === 0) return
    file.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames), about.sizeBytes)
    this.sizeBytes += end - about.sizeBytes
    about.sizeBytes = end
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined
      this.#open?.file.syncLater()
    }, SYNC_MS)
  }

  /** Begins a file; there must be a journal before the first record with a key. @throws when the disk does */
  begin(): void {
    this.#leave()
    const id = this.#lastId + 1
    const salt = this.#options.newSalt()
    const file = this.#directory.open(nameOf(id), 'create')
    this.#lastId = id
    this.#open = { id, file }
    this.#files.set(id, { salt, newestMs: 0, sizeBytes: FILE_HEADER_BYTES })
    this.sizeBytes += FILE_HEADER_BYTES
    file.write(encodeFileHeader(salt), 0)
    this.#directory.sync()
  }

  /** Closes the open file: nothing is written to it any more. */
  #leave(): void {
    const open = this.#open
    this.#open = undefined
    if (open === undefined) return
    try {
      open.file.sync()
    } catch (error) {
      this.#options.onFailure(error)
    }
    open.file.close()
  }

  /** @returns `undefined`: it cannot be read */
  answerAt({ file: id, offset, sizeBytes }: AnswerPlace): KeptAnswer | undefined {
    const about = this.#files.get(id)
    if (about === undefined) return undefined
    try {
      const file = this.#open?.id === id ? this.#open.file : this.#directory.open(nameOf(id), 'read')
      try {
        return answerIn(file.read(offset, sizeBytes), about.salt)
      } finally {
        if (file !== this.#open?.file) file.close()
      }
    } catch {
      return undefined
    }
  }

  /** Removes the files all of whose keys were claimed before this time. */
  expire(beforeMs: number): void {
    for (const [id, { newestMs, sizeBytes }] of this.#files) {
      if (newestMs >= beforeMs || id === this.#open?.id) continue
      this.#files.delete(id)
      this.sizeBytes -= sizeBytes
      try {
        this.#directory.remove(nameOf(id))
      } catch (error) {
        this.#options.onFailure(error)
      }
    }
  }

  close(): void {
    clearTimeout(this.#retry)
    this.#flush()
    clearTimeout(this.#retry)
    clearTimeout(this.#syncTimer)
    this.#leave()
  }
}

const nameOf = (id: number): string => `${String(id).padStart(16, '0')}.keys`
