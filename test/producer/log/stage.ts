import { DeadLetters } from '../../../src/producer/log/dead-letters.js'
import { encodeEntry, type StoredEntry } from '../../../src/producer/log/entry.js'
import type { LogReadRequest } from '../../../src/producer/log/entry-reader.js'
import { LogCore } from '../../../src/producer/log/log-host.js'
import type { LogStore, LogStoreOptions } from '../../../src/producer/log/log-store.js'
import { loggedRecordBytes, readLoggedRecord, writeLoggedRecord } from '../../../src/producer/log/logged-record.js'
import type { SimulatedDisk } from '../../support/simulated-disk.js'

/** Unstamped entries with these bodies, as `commit` takes them. */
export function group(bodies: readonly (string | Buffer)[], destination = 'default/orders'): Buffer {
  return Buffer.concat(bodies.map(body => encodeEntry(destination, Buffer.from(body as string), 1_000)))
}

/** An entry as a topic writes it: a record without key and headers. */
export function recordBody(value: string): Buffer {
  const record = { key: null, value: Buffer.from(value), headers: [], timestampMs: 7 }
  const bytes = Buffer.alloc(loggedRecordBytes(record))
  writeLoggedRecord(bytes, 0, record)
  return bytes
}

/** The value of such an entry, without the points that make it longer. */
export const textOf = (body: Buffer): string => `${readLoggedRecord(body).value}`.replace(/\.+$/, '')

let salt = 0x9e3779b9

export interface Opened {
  readonly store: LogCore
  readonly reports: { readonly fields: object; readonly message: string }[]
}

export function openStore(
  disk: SimulatedDisk,
  overrides: Partial<LogStoreOptions> = {},
  maxDeadLetterBytes = Number.MAX_SAFE_INTEGER
): Opened {
  const reports: Opened['reports'] = []
  return { store: new LogCore(storeOptions(disk, reports, overrides), maxDeadLetterBytes), reports }
}

export const deadLettersOn = (disk: SimulatedDisk, overrides: Partial<LogStoreOptions> = {}): DeadLetters =>
  new DeadLetters(storeOptions(disk, [], overrides))

export function storeOptions(
  disk: SimulatedDisk,
  reports: Opened['reports'],
  overrides: Partial<LogStoreOptions>
): LogStoreOptions {
  return {
    directory: disk.directory,
    segmentBytes: 1_024,
    maxBytes: Number.MAX_SAFE_INTEGER,
    minFreeBytes: 0,
    syncPuts: true,
    syncTakes: false,
    now: () => 0,
    clock: () => 0,
    newSalt: () => (salt = (salt * 1_664_525 + 1_013_904_223) >>> 0),
    report: (fields, message) => reports.push({ fields, message }),
    ...overrides
  }
}

type Wanted = Omit<LogReadRequest, 'fromSequence' | 'maxBytes'>

/** Everything that is open, as text. */
export function readAll(store: LogStore, wanted: Wanted = {}): string[] {
  return readEntries(store, wanted).map(({ body }) => body.toString())
}

export function readEntries(store: LogStore, wanted: Wanted = {}, maxBytes = 200): StoredEntry[] {
  const entries = []
  for (let fromSequence = 1; ; ) {
    const result = store.read({ ...wanted, fromSequence, maxBytes })
    entries.push(...result.entries)
    if (result.isAtEnd) return entries
    fromSequence = result.nextSequence
  }
}
