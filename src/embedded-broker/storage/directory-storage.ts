import { join } from 'node:path'
import { makeDirectory } from '../../core/files/make-directory.js'
import { topicPartitionKey } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { BrokerLock, type LockDeps } from './broker-lock.js'
import { ClusterFile } from './cluster-file.js'
import { FILE_MODE, FileBytes, type FileSystem, FOLDER_MODE, writeWhole } from './file-bytes.js'
import { isForgotten, type LogFiles, type Storage, type StoredLogs, type StoredOffset } from './storage.js'

/** The journal is rewritten when the number of its lines exceeds the number of offsets by this number. */
const STALE_LINES = 20_000

/** Committed offsets, one JSON object per line; the last line for a group and partition counts. */
class OffsetJournal {
  readonly #path: string
  readonly #files: FileSystem
  readonly #offsets = new Map<string, StoredOffset>()
  #descriptor: number
  #lines = 0
  #sizeBytes = 0

  constructor(path: string, files: FileSystem) {
    this.#path = path
    this.#files = files
    if (files.existsSync(path)) for (const line of files.readFileSync(path, 'utf8').split('\n')) this.#load(line)
    this.#descriptor = this.#rewrite()
  }

  all(): StoredOffset[] {
    return [...this.#offsets.values()]
  }

  /** @throws Error when the offsets could not be written; none of them is stored then */
  save(offsets: readonly StoredOffset[]): void {
    const bytes = Buffer.from(linesOf(offsets))
    writeWhole(this.#files, this.#descriptor, bytes, this.#sizeBytes, this.#sizeBytes)
    this.#sizeBytes += bytes.length
    for (const offset of offsets) this.#put(offset)
    this.#lines += offsets.length
    if (this.#lines - this.#offsets.size > STALE_LINES) this.#shorten()
  }

  close(): void {
    this.#files.closeSync(this.#descriptor)
  }

  /** Rewrites the journal. If the disk has no space for the new file, the old file stays valid and grows further. */
  #shorten(): void {
    const old = this.#descriptor
    try {
      this.#descriptor = this.#rewrite()
      this.#files.closeSync(old)
    } catch {
      this.#lines = this.#offsets.size
    }
  }

  #load(line: string): void {
    try {
      const stored: StoredOffset = JSON.parse(line)
      if (isStoredOffset(stored)) this.#put(stored)
    } catch {
      // The line is empty or was torn by a crash. Its offsets were not acknowledged.
    }
  }

  #put(stored: StoredOffset): void {
    const key = `${topicPartitionKey(stored.topic, stored.partition)}/${stored.groupId}`
    if (isForgotten(stored)) this.#offsets.delete(key)
    else this.#offsets.set(key, stored)
  }

  #rewrite(): number {
    const text = linesOf(this.#offsets.values())
    this.#files.writeFileSync(`${this.#path}.new`, text, { mode: FILE_MODE })
    this.#files.renameSync(`${this.#path}.new`, this.#path)
    this.#lines = this.#offsets.size
    this.#sizeBytes = Buffer.byteLength(text)
    return this.#files.openSync(this.#path, 'r+', FILE_MODE)
  }
}

const isStoredOffset = ({ groupId, topic, partition, offset, leaderEpoch, metadata }: StoredOffset): boolean =>
  typeof groupId === 'string' &&
  typeof topic === 'string' &&
  typeof metadata === 'string' &&
  [partition, offset, leaderEpoch].every(Number.isSafeInteger)

const linesOf = (offsets: Iterable<StoredOffset>): string =>
  [...offsets].map(offset => `${JSON.stringify(offset)}\n`).join('')

/**
 * Keeps the state of the cluster in one directory:
 *
 *   cluster.json        cluster id, next producer id, topics with their settings, replicas, log starts
 *   offsets.jsonl       committed offsets
 *   logs/orders-0/00000000000000000000.log      record batches as they were on the wire, from offset 0 on, without gaps
 *   quarantine/orders-0-00000000000000000000-123.bin      bytes of a log that could not be read
 *   lock, lock.socket   the process that uses it
 *
 * Files are not fsynced, so a crash of the machine may lose the changes in the page cache.
 */
export async function directoryStorage(directory: string, files: FileSystem, deps: LockDeps): Promise<Storage> {
  const { warn } = deps
  makeDirectory(join(directory, 'logs'), files)
  let isLost = false
  const own = whileOwned(files, directory, () => isLost)
  const onLost = (): void => {
    isLost = true
    warn(`another process has taken ${directory}: the embedded broker writes nothing any more, and ends`)
    deps.onLost()
  }
  const lock = await BrokerLock.take(directory, { ...deps, onLost })
  try {
    const cluster = new ClusterFile(join(directory, 'cluster.json'), own, warn)
    const offsets = new OffsetJournal(join(directory, 'offsets.jsonl'), own)
    return {
      cluster,
      offsets,
      logs: new LogFolders(directory, own, warn),
      close() {
        cluster.close()
        offsets.close()
        lock.release()
      }
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** The same files, of which none is changed once the directory belongs to another process. */
function whileOwned(files: FileSystem, directory: string, isLost: () => boolean): FileSystem {
  const owned = <Call extends (...args: never[]) => unknown>(call: Call): Call =>
    ((...args: Parameters<Call>) => {
      if (isLost()) throw new Error(`another process has taken ${directory}`)
      return call(...args)
    }) as Call
  return {
    ...files,
    ftruncateSync: owned(files.ftruncateSync),
    openSync: owned(files.openSync),
    renameSync: owned(files.renameSync),
    rmSync: owned(files.rmSync),
    writeFileSync: owned(files.writeFileSync),
    writeSync: owned(files.writeSync)
  }
}

const SEGMENT_NAME = /^(\d{20})\.log$/
const segmentName = (baseOffset: number): string => `${String(baseOffset).padStart(20, '0')}.log`

/** A folder of segments for each partition. */
class LogFolders implements StoredLogs {
  readonly #directory: string
  readonly #files: FileSystem
  readonly #warn: (message: string) => void

  constructor(directory: string, files: FileSystem, warn: (message: string) => void) {
    this.#directory = directory
    this.#files = files
    this.#warn = warn
  }

  open(topic: string, partition: number, isNew: boolean): LogFiles {
    const folder = this.#folderOf(topic, partition)
    const isThere = this.#files.existsSync(folder)
    // The folder is left over from a topic of the same name whose deletion failed.
    if (isThere && isNew) this.#files.rmSync(folder, { recursive: true, force: true })
    return {
      open: baseOffset => new FileBytes(join(folder, segmentName(baseOffset)), this.#files),
      rollsAtGaps: true,
      baseOffsets: isThere && !isNew ? this.#segmentsIn(folder) : [],
      quarantine: (baseOffset, position, bytes) => {
        const name = `${topic}-${partition}-${segmentName(baseOffset).slice(0, -4)}-${position}.bin`
        return this.#quarantine(join(folder, segmentName(baseOffset)), name, bytes)
      }
    }
  }

  remove(topic: string, partition: number): void {
    const folder = this.#folderOf(topic, partition)
    try {
      this.#files.rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      // The folder is removed when a topic with this name is created again.
      this.#warn(`${folder} of a deleted topic cannot be removed: ${messageOf(error)}`)
    }
  }

  #folderOf(topic: string, partition: number): string {
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
}
