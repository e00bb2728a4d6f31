import { DeadLetters } from '../../src/wal/dead-letters.js'
import { entrySizeBytes, writeUnstamped } from '../../src/wal/entry.js'
import { LogStore, type LogStoreOptions } from '../../src/wal/log-store.js'
import type { SimulatedDisk } from '../support/simulated-disk.js'

/** Unstamped entries with these bodies, as `commit` takes them. */
export function group(bodies: readonly (string | Buffer)[], destination = 'default/orders'): Buffer {
  const name = Buffer.from(destination)
  const parts = bodies.map(body => {
    const bytes = Buffer.from(body as string)
    const sizeBytes = entrySizeBytes(name.length, bytes.length)
    const entry = Buffer.alloc(sizeBytes)
    writeUnstamped(entry, 0, name, bytes.length, 1_000)
    bytes.copy(entry, sizeBytes - bytes.length)
    return entry
  })
  return Buffer.concat(parts)
}

let salt = 0x9e3779b9

export interface Opened {
  readonly store: LogStore
  readonly reports: { readonly fields: object; readonly message: string }[]
}

export function openStore(disk: SimulatedDisk, overrides: Partial<LogStoreOptions> = {}): Opened {
  const reports: Opened['reports'] = []
  return { store: new LogStore(storeOptions(disk, reports, overrides)), reports }
}

export const deadLettersOn = (disk: SimulatedDisk, overrides: Partial<LogStoreOptions> = {}): DeadLetters =>
  new DeadLetters(storeOptions(disk, [], overrides))

function storeOptions(
  disk: SimulatedDisk,
  reports: Opened['reports'],
  overrides: Partial<LogStoreOptions>
): LogStoreOptions {
  return {
    directory: disk.directory,
    slabBytes: 1_024,
    maxBytes: Number.MAX_SAFE_INTEGER,
    minFreeBytes: 0,
    syncPuts: true,
    syncTakes: false,
    now: () => 0,
    newSalt: () => (salt = (salt * 1_664_525 + 1_013_904_223) >>> 0),
    report: (fields, message) => reports.push({ fields, message }),
    ...overrides
  }
}

/** Everything that is open, as text. */
export function readAll(store: LogStore, destinations?: ReadonlySet<string>): string[] {
  return readEntries(store, destinations).map(({ body }) => body.toString())
}

export function readEntries(store: LogStore, destinations?: ReadonlySet<string>, maxBytes = 200) {
  const entries = []
  for (let fromSequence = 1; ; ) {
    const result = store.read({ fromSequence, maxBytes, destinations })
    entries.push(...result.entries)
    if (result.isAtEnd) return entries
    fromSequence = result.nextSequence
  }
}
