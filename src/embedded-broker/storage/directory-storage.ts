import { join } from 'node:path'
import { ConfigError } from '../../core/errors.js'
import type { TopicDescription } from '../topics/topic-table.js'
import { type ClusterFile, parseClusterFile } from './cluster-file.js'
import { lockDirectory } from './directory-lock.js'
import { FileBytes } from './file-bytes.js'
import { FILE_MODE, type FileSystem, FOLDER_MODE, nodeFileSystem } from './file-system.js'
import { OffsetJournal } from './offset-journal.js'
import { OpenFiles } from './open-files.js'
import { FIRST_PRODUCER_ID, type LogFiles, newClusterId, type Storage, type StoredOffset } from './storage.js'

const SEGMENT_NAME = /^(\d{20})\.log$/
const segmentName = (baseOffset: number): string => `${String(baseOffset).padStart(20, '0')}.log`
/** How long after a failure `cluster.json` is written again. */
const RETRY_MS = 1000

export interface DirectoryOptions {
  readonly maxOpenFiles: number
  /** Reports a message to the operator. */
  readonly warn: (message: string) => void
  readonly files?: FileSystem
}

/**
 * Keeps everything in one directory:
 *
 *   cluster.json        cluster id, next producer id, topics with their settings, replicas, log starts
 *   offsets.jsonl       committed offsets
 *   logs/orders-0/00000000000000000000.log      record batches as they were on the wire, from offset 0 on, without gaps
 *   quarantine/orders-0-00000000000000000000-123.bin      bytes of a log that could not be read
 *   lock                the process that uses it
 *
 * Written files are as safe as the page cache: nothing is fsynced.
 */
export class DirectoryStorage implements Storage {
  readonly clusterId: string
  readonly #directory: string
  readonly #files: FileSystem
  readonly #openFiles: OpenFiles
  readonly #warn: (message: string) => void
  readonly #unlock: () => void
  readonly #journal: OffsetJournal
  readonly #topics: readonly TopicDescription[]
  #nextProducerId: number
  #describe: () => readonly TopicDescription[]
  #savedTopicIds: ReadonlySet<string> = new Set()
  #saving: NodeJS.Immediate | undefined
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(directory: string, { maxOpenFiles, warn, files = nodeFileSystem }: DirectoryOptions) {
    this.#directory = directory
    this.#files = files
    this.#warn = warn
    this.#openFiles = new OpenFiles(maxOpenFiles)
    files.mkdirSync(join(directory, 'logs'), { recursive: true, mode: FOLDER_MODE })
    this.#unlock = lockDirectory(directory)
    try {
      const { clusterId, nextProducerId, topics } = this.#read()
      this.clusterId = clusterId
      this.#nextProducerId = nextProducerId
      this.#topics = topics
      this.#describe = () => topics
      this.#journal = new OffsetJournal(join(directory, 'offsets.jsonl'), files)
    } catch (error) {
      this.#unlock()
      throw error
    }
  }

  get openFiles(): number {
    return this.#openFiles.count
  }

  topics(): readonly TopicDescription[] {
    return this.#topics
  }

  saveTopics(describe: () => readonly TopicDescription[]): void {
    if (this.#isClosed) return
    this.#describe = describe
    this.#saving ??= setImmediate(() => this.#saveOrRetry())
  }

  requireSaved(topicId: string): void {
    if (!this.#savedTopicIds.has(topicId)) this.#write()
  }

  openLog(topic: string, partition: number, isNew: boolean): LogFiles {
    const folder = this.#folder(topic, partition)
    const isThere = this.#files.existsSync(folder)
    // Left behind by a topic of the same name whose deletion was cut short.
    if (isThere && isNew) this.#files.rmSync(folder, { recursive: true, force: true })
    return {
      open: baseOffset => new FileBytes(join(folder, segmentName(baseOffset)), this.#files, this.#openFiles),
      rollsAtGaps: true,
      baseOffsets: isThere && !isNew ? this.#segmentsIn(folder) : [],
      quarantine: (baseOffset, position, bytes) => {
        const name = `${topic}-${partition}-${segmentName(baseOffset).slice(0, -4)}-${position}.bin`
        return this.#quarantine(join(folder, segmentName(baseOffset)), name, bytes)
      }
    }
  }

  /** A folder that cannot be removed is removed when a topic of that name is created again. */
  removeLog(topic: string, partition: number): void {
    const folder = this.#folder(topic, partition)
    try {
      this.#files.rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      this.#warn(`${folder} of a deleted topic cannot be removed: ${(error as Error).message}`)
    }
  }

  nextProducerId(): number {
    return this.#nextProducerId
  }

  /** Written at once: an id must never be allocated twice. */
  saveNextProducerId(next: number): void {
    const before = this.#nextProducerId
    this.#nextProducerId = next
    try {
      this.#write()
    } catch (error) {
      this.#nextProducerId = before
      throw error
    }
  }

  offsets(): readonly StoredOffset[] {
    return this.#journal.all()
  }

  saveOffsets(offsets: readonly StoredOffset[]): void {
    this.#journal.save(offsets)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    try {
      this.#write()
    } catch (error) {
      this.#warn(`${this.#path} cannot be written: ${(error as Error).message}`)
    }
    this.#journal.close()
    this.#unlock()
  }

  get #path(): string {
    return join(this.#directory, 'cluster.json')
  }

  #folder(topic: string, partition: number): string {
    return join(this.#directory, 'logs', `${topic}-${partition}`)
  }

  #segmentsIn(folder: string): number[] {
    return this.#files
      .readdirSync(folder)
      .flatMap(name => SEGMENT_NAME.exec(name)?.[1] ?? [])
      .sort()
      .map(Number)
      .filter(Number.isSafeInteger)
  }

  /** @returns the name of the damaged file, and of the copy if one could be made */
  #quarantine(damagedPath: string, name: string, bytes: Buffer): string {
    const folder = join(this.#directory, 'quarantine')
    const path = join(folder, name)
    try {
      this.#files.mkdirSync(folder, { recursive: true, mode: FOLDER_MODE })
      this.#files.writeFileSync(path, bytes, { mode: FILE_MODE })
      return `${damagedPath} (copied to ${path})`
    } catch {
      return damagedPath
    }
  }

  #read(): ClusterFile {
    if (!this.#files.existsSync(this.#path)) {
      return { format: 1, clusterId: newClusterId(), nextProducerId: FIRST_PRODUCER_ID, topics: [] }
    }
    try {
      return parseClusterFile(this.#files.readFileSync(this.#path, 'utf8'))
    } catch (error) {
      throw new ConfigError(`${this.#path} cannot be read (${(error as Error).message}); move it away to start anew`)
    }
  }

  /** A full disk may have room again later. Until then records of topics that are not in the file are refused. */
  #saveOrRetry(): void {
    this.#saving = undefined
    try {
      this.#write()
    } catch (error) {
      if (!this.#retry) this.#warn(`${this.#path} cannot be written and is tried again: ${(error as Error).message}`)
      // Changes that fail one after another share one timer: one that is set over another could not be stopped any more.
      clearTimeout(this.#retry)
      this.#retry = setTimeout(() => this.#saveOrRetry(), RETRY_MS).unref()
    }
  }

  /** Written beside and renamed, so that a crash leaves the old one or the new one. */
  #write(): void {
    clearImmediate(this.#saving)
    this.#saving = undefined
    const topics = this.#describe()
    const { clusterId } = this
    const file: ClusterFile = { format: 1, clusterId, nextProducerId: this.#nextProducerId, topics }
    this.#files.writeFileSync(`${this.#path}.new`, JSON.stringify(file, null, 1), { mode: FILE_MODE })
    this.#files.renameSync(`${this.#path}.new`, this.#path)
    this.#savedTopicIds = new Set(topics.flatMap(({ id }) => id ?? []))
    clearTimeout(this.#retry)
    this.#retry = undefined
  }
}
