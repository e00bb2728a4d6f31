import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../../errors.js'
import type { TopicDescription } from '../topics/topic-table.js'
import { lockDirectory } from './directory-lock.js'
import { FileBytes } from './file-bytes.js'
import { OffsetJournal } from './offset-journal.js'
import { FIRST_PRODUCER_ID, type LogFiles, newClusterId, type Storage, type StoredOffset } from './storage.js'

/**
 * A directory:
 *
 *   cluster.json        cluster id, next producer id, topics with their settings, replicas, log starts
 *   offsets.jsonl       committed offsets
 *   logs/orders-0/00000000000000000000.log      record batches as they were on the wire, from offset 0 on
 *   lock                the process that uses it
 */
interface ClusterFile {
  readonly format: 1
  readonly clusterId: string
  readonly nextProducerId: number
  readonly topics: readonly TopicDescription[]
}

const SEGMENT_NAME = /^(\d{20})\.log$/
const segmentName = (baseOffset: number): string => `${String(baseOffset).padStart(20, '0')}.log`

/** Keeps everything in one directory. Written files are as safe as the page cache: nothing is fsynced. */
export class DirectoryStorage implements Storage {
  readonly clusterId: string
  readonly #directory: string
  readonly #unlock: () => void
  readonly #journal: OffsetJournal
  readonly #topics: readonly TopicDescription[]
  #nextProducerId: number
  #describe: () => readonly TopicDescription[]
  #saving: NodeJS.Immediate | undefined

  constructor(directory: string) {
    this.#directory = directory
    mkdirSync(join(directory, 'logs'), { recursive: true })
    this.#unlock = lockDirectory(directory)
    try {
      const { clusterId, nextProducerId, topics } = this.#read()
      this.clusterId = clusterId
      this.#nextProducerId = nextProducerId
      this.#topics = topics
      this.#describe = () => topics
      this.#journal = new OffsetJournal(join(directory, 'offsets.jsonl'))
    } catch (error) {
      this.#unlock()
      throw error
    }
  }

  get openFiles(): number {
    return 0
  }

  topics(): readonly TopicDescription[] {
    return this.#topics
  }

  saveTopics(describe: () => readonly TopicDescription[]): void {
    this.#describe = describe
    this.#saving ??= setImmediate(() => this.#write())
  }

  openLog(topic: string, partition: number): LogFiles {
    const folder = this.#folder(topic, partition)
    mkdirSync(folder, { recursive: true })
    const baseOffsets = readdirSync(folder)
      .flatMap(name => SEGMENT_NAME.exec(name)?.[1] ?? [])
      .sort()
      .map(Number)
    return {
      open: baseOffset => new FileBytes(join(folder, segmentName(baseOffset))),
      baseOffsets,
      truncate: (baseOffset, sizeBytes) => truncateSync(join(folder, segmentName(baseOffset)), sizeBytes)
    }
  }

  removeLog(topic: string, partition: number): void {
    rmSync(this.#folder(topic, partition), { recursive: true, force: true })
  }

  nextProducerId(): number {
    return this.#nextProducerId
  }

  /** At once: an id must never be handed out twice. */
  saveNextProducerId(next: number): void {
    this.#nextProducerId = next
    this.#write()
  }

  offsets(): readonly StoredOffset[] {
    return this.#journal.all()
  }

  saveOffsets(offsets: readonly StoredOffset[]): void {
    this.#journal.save(offsets)
  }

  close(): void {
    this.#write()
    this.#journal.close()
    this.#unlock()
  }

  #folder(topic: string, partition: number): string {
    return join(this.#directory, 'logs', `${topic}-${partition}`)
  }

  #read(): ClusterFile {
    const path = join(this.#directory, 'cluster.json')
    if (!existsSync(path)) {
      return { format: 1, clusterId: newClusterId(), nextProducerId: FIRST_PRODUCER_ID, topics: [] }
    }
    try {
      const file = JSON.parse(readFileSync(path, 'utf8')) as ClusterFile
      if (file.format !== 1) throw new Error(`format ${file.format} is not known`)
      return file
    } catch (error) {
      throw new ConfigError(`${path} cannot be read (${(error as Error).message}); move it away to start anew`)
    }
  }

  /** Written beside and renamed, so that a crash leaves the old one or the new one. */
  #write(): void {
    clearImmediate(this.#saving)
    this.#saving = undefined
    const path = join(this.#directory, 'cluster.json')
    const { clusterId } = this
    const file: ClusterFile = { format: 1, clusterId, nextProducerId: this.#nextProducerId, topics: this.#describe() }
    writeFileSync(`${path}.new`, JSON.stringify(file, null, 1))
    renameSync(`${path}.new`, path)
  }
}
