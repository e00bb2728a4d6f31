import type { LogDirectory, LogFile } from '../../src/producer/log/files.js'

/** Bytes of a file as the process sees them, and as they would be after a power cut. */
interface Inode {
  now: Buffer
  durable: Buffer
  /** Writes since the last sync: any part of them may be on the disk after a power cut. */
  unsynced: { readonly position: number; readonly bytes: Buffer }[]
  openCount: number
}

interface Folder {
  now: Map<string, Inode>
  durable: Map<string, Inode>
  readonly folders: Map<string, Folder>
}

/** What lies behind a buffer that has grown: the space of the newest one only. */
const rooms = new WeakMap<Buffer, Buffer>()

/** The same bytes and zeros behind them. A file that is appended to many times is copied a few times only. */
function extended(bytes: Buffer, length: number): Buffer {
  if (bytes.length >= length) return bytes
  let capacity = rooms.get(bytes)
  rooms.delete(bytes)
  if (capacity === undefined || capacity.length < length) {
    capacity = Buffer.alloc(Math.max(length, 2 * bytes.length))
    bytes.copy(capacity)
  }
  const longer = capacity.subarray(0, length)
  rooms.set(longer, capacity)
  return longer
}

interface Place {
  readonly folder: Folder
  readonly name: string
}

const newFolder = (): Folder => ({ now: new Map(), durable: new Map(), folders: new Map() })
const newInode = (): Inode => ({ now: Buffer.alloc(0), durable: Buffer.alloc(0), unsynced: [], openCount: 0 })

const SECTOR_BYTES = 512

/** What the next calls meet instead of a healthy disk. */
export interface DiskFaults {
  /** Called before each operation; throws what the operation is to throw. */
  before?: (
    operation: 'create' | 'write' | 'sync' | 'syncDirectory' | 'read' | 'truncate' | 'rename' | 'remove',
    name: string,
    position?: number,
    length?: number
  ) => void
}

const errno = (code: string, message: string): Error => Object.assign(new Error(message), { code })
export const eio = (): Error => errno('EIO', 'EIO: i/o error')
export const enospc = (): Error => errno('ENOSPC', 'ENOSPC: no space left on device')

/**
 * A disk in memory that loses, on {@link powerCut}, what was not synced: each unsynced write is lost, kept, or kept in
 * part, by sectors; an unsynced creation or removal of a name may be undone.
 */
export class SimulatedDisk {
  readonly faults: DiskFaults = {}
  capacityBytes = Number.POSITIVE_INFINITY
  /** So many operations until the process dies: none has an effect from then on. */
  operationsLeft = Number.POSITIVE_INFINITY
  syncs = 0
  readBytes = 0
  /** Those of dead processes count, too. */
  openFiles = 0
  readonly #root = newFolder()

  get directory(): LogDirectory {
    return new SimulatedDirectory(this, this.#root, '/simulated')
  }

  get usedBytes(): number {
    const of = (folder: Folder): number => {
      let bytes = 0
      for (const inode of folder.now.values()) bytes += inode.now.length
      for (const sub of folder.folders.values()) bytes += of(sub)
      return bytes
    }
    return of(this.#root)
  }

  /** Renames between folders that no sync has followed: a file system does each as one step, or not at all. */
  #moves: { readonly inode: Inode; readonly from: Place; readonly to: Place }[] = []

  moved(inode: Inode, from: Place, to: Place): void {
    this.#moves.push({ inode, from, to })
  }

  /** Makes the moves that a folder takes part in durable. */
  synced(folder: Folder): void {
    for (const { inode, from, to } of this.#moves) {
      if (from.folder !== folder && to.folder !== folder) continue
      from.folder.durable.delete(from.name)
      to.folder.durable.set(to.name, inode)
    }
    this.#moves = this.#moves.filter(({ from, to }) => from.folder !== folder && to.folder !== folder)
  }

  /** @param random in [0, 1): decides what of the unsynced writes survives */
  powerCut(random: () => number): void {
    for (const { inode, from, to } of this.#moves.splice(0)) {
      const place = random() < 0.5 ? to : from
      for (const names of [from.folder.now, from.folder.durable]) names.delete(from.name)
      for (const names of [to.folder.now, to.folder.durable]) names.delete(to.name)
      for (const names of [place.folder.now, place.folder.durable]) names.set(place.name, inode)
    }
    const cut = (folder: Folder): void => {
      const names = new Map(folder.durable)
      for (const [name, inode] of folder.now) if (random() < 0.5) names.set(name, inode)
      for (const name of folder.durable.keys()) if (!folder.now.has(name) && random() < 0.5) names.delete(name)
      for (const inode of new Set([...folder.now.values(), ...folder.durable.values()])) tear(inode, random)
      folder.now = names
      folder.durable = new Map(names)
      for (const sub of folder.folders.values()) cut(sub)
    }
    cut(this.#root)
  }

  /** Called before each operation. */
  meet(...[operation, name, position, length]: Parameters<NonNullable<DiskFaults['before']>>): void {
    if (this.operationsLeft-- <= 0) throw errno('EIO', 'the process is dead')
    this.faults.before?.(operation, name, position, length)
  }

  /** Names of the files at the top, with their bytes. */
  files(): Map<string, Buffer> {
    return new Map([...this.#root.now].map(([name, inode]) => [name, inode.now]))
  }

  /** What a power cut would leave when nothing that is not synced survives it. */
  durableFiles(): Map<string, Buffer> {
    return new Map([...this.#root.durable].map(([name, inode]) => [name, inode.durable]))
  }

  /** Changes a file behind the log's back; durable at once. */
  patch(name: string, change: (bytes: Buffer) => Buffer): void {
    const inode = this.#root.now.get(name)!
    inode.now = change(Buffer.from(inode.now))
    inode.durable = Buffer.from(inode.now)
    inode.unsynced = []
  }
}

function tear(inode: Inode, random: () => number): void {
  let bytes: Buffer = Buffer.from(inode.durable)
  for (const { position, bytes: written } of inode.unsynced) {
    if (random() < 0.4) continue
    const end = position + written.length
    bytes = extended(bytes, end)
    for (let at = 0; at < written.length; at += SECTOR_BYTES) {
      if (random() < 0.7) written.copy(bytes, position + at, at, at + SECTOR_BYTES)
    }
  }
  inode.now = bytes
  inode.durable = Buffer.from(bytes)
  inode.unsynced = []
}

class SimulatedDirectory implements LogDirectory {
  readonly path: string
  readonly #disk: SimulatedDisk
  readonly #folder: Folder

  constructor(disk: SimulatedDisk, folder: Folder, path: string) {
    this.#disk = disk
    this.#folder = folder
    this.path = path
  }

  list(): readonly string[] {
    return [...this.#folder.now.keys()]
  }

  open(name: string, mode: 'read' | 'write' | 'create'): LogFile {
    if (mode === 'create') return this.#create(name)
    return new SimulatedFile(this.#disk, this.#inode(name), name)
  }

  #create(name: string): LogFile {
    this.#disk.meet('create', name)
    if (this.#folder.now.has(name)) throw errno('EEXIST', `${name} exists`)
    const inode = newInode()
    this.#folder.now.set(name, inode)
    return new SimulatedFile(this.#disk, inode, name)
  }

  #inode(name: string): Inode {
    const inode = this.#folder.now.get(name)
    if (!inode) throw errno('ENOENT', `${name} does not exist`)
    return inode
  }

  rename(from: string, to: string, into: LogDirectory = this): void {
    this.#disk.meet('rename', from)
    const inode = this.#inode(from)
    const other = (into as SimulatedDirectory).#folder
    this.#folder.now.delete(from)
    other.now.set(to, inode)
    if (other !== this.#folder)
      this.#disk.moved(inode, { folder: this.#folder, name: from }, { folder: other, name: to })
  }

  remove(name: string): void {
    this.#disk.meet('remove', name)
    if (!this.#folder.now.delete(name)) throw errno('ENOENT', `${name} does not exist`)
  }

  sync(): void {
    this.#disk.meet('syncDirectory', this.path)
    this.#folder.durable = new Map(this.#folder.now)
    this.#disk.synced(this.#folder)
  }

  directory(name: string): LogDirectory
  directory(name: string, mustExist: true): LogDirectory | undefined
  directory(name: string, mustExist = false): LogDirectory | undefined {
    let folder = this.#folder.folders.get(name)
    if (!folder && mustExist) return undefined
    if (!folder) this.#folder.folders.set(name, (folder = newFolder()))
    return new SimulatedDirectory(this.#disk, folder, `${this.path}/${name}`)
  }

  freeBytes(): number {
    return this.#disk.capacityBytes - this.#disk.usedBytes
  }
}

class SimulatedFile implements LogFile {
  readonly #disk: SimulatedDisk
  readonly #inode: Inode
  readonly #name: string
  #isOpen = true

  constructor(disk: SimulatedDisk, inode: Inode, name: string) {
    this.#disk = disk
    this.#inode = inode
    this.#name = name
    disk.openFiles++
  }

  get sizeBytes(): number {
    return this.#inode.now.length
  }

  write(bytes: Uint8Array, position: number): void {
    this.#check()
    const capacity = this.#disk.capacityBytes - this.#disk.usedBytes
    const grows = Math.max(0, position + bytes.length - this.#inode.now.length)
    if (this.#disk.operationsLeft <= 0) throw errno('EIO', 'the process is dead')
    // A full disk takes the first part, as a real one does.
    if (grows > capacity)
      this.#put(Buffer.from(bytes.subarray(0, Math.max(0, bytes.length - (grows - capacity)))), position)
    if (grows > capacity) throw enospc()
    this.#disk.meet('write', this.#name)
    this.#put(Buffer.from(bytes), position)
  }

  #put(bytes: Buffer, position: number): void {
    const inode = this.#inode
    const end = position + bytes.length
    inode.now = extended(inode.now, end)
    bytes.copy(inode.now, position)
    inode.unsynced.push({ position, bytes })
  }

  read(position: number, length: number): Buffer {
    this.#check()
    this.#disk.meet('read', this.#name, position, length)
    const bytes = Buffer.from(this.#inode.now.subarray(position, position + length))
    this.#disk.readBytes += bytes.length
    return bytes
  }

  syncLater(): void {
    if (!this.#isOpen || this.#disk.operationsLeft <= 0) return
    try {
      this.sync()
    } catch {
      // Nobody is told.
    }
  }

  sync(): void {
    this.#check()
    if (this.#disk.operationsLeft <= 0) throw errno('EIO', 'the process is dead')
    this.#disk.syncs++
    // As on Linux: after a failed sync the pages count as clean, and a second sync says that all is well.
    const { unsynced } = this.#inode
    this.#inode.unsynced = []
    this.#disk.meet('sync', this.#name)
    for (const { position, bytes } of unsynced) {
      const end = position + bytes.length
      this.#inode.durable = extended(this.#inode.durable, end)
      bytes.copy(this.#inode.durable, position)
    }
    if (this.#inode.durable.length > this.#inode.now.length) {
      this.#inode.durable = this.#inode.durable.subarray(0, this.#inode.now.length)
    }
  }

  truncate(sizeBytes: number): void {
    this.#check()
    this.#disk.meet('truncate', this.#name)
    this.#inode.now = Buffer.from(this.#inode.now.subarray(0, sizeBytes))
    this.#inode.unsynced = this.#inode.unsynced
      .filter(({ position }) => position < sizeBytes)
      .map(({ position, bytes }) => ({ position, bytes: bytes.subarray(0, sizeBytes - position) }))
  }

  close(): void {
    this.#check()
    this.#isOpen = false
    this.#disk.openFiles--
  }

  #check(): void {
    if (!this.#isOpen) throw errno('EBADF', `${this.#name} is closed`)
  }
}
