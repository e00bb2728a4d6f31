import type { LogDirectory } from './files.js'
import { LogReader } from './log-reader.js'
import { ReadOnlyDirectory } from './read-only-directory.js'
import { type RecoveryReport, recover } from './recovery.js'

/** What one slab holds. */
export interface SlabReport {
  readonly name: string
  readonly sizeBytes: number
  readonly firstSequence: number
  readonly entries: number
  readonly openEntries: number
  readonly damagedEntries: number
  /** Entries per destination, open or not. */
  readonly destinations: ReadonlyMap<string, number>
}

export interface LogReport {
  readonly slabs: readonly SlabReport[]
  readonly report: RecoveryReport
  readonly nextSequence: number
}

const READ_BYTES = 4 * 1024 * 1024

/**
 * Looks at a log without changing it; another process may be using it at the same time.
 *
 * @param verify reads every open entry and checks it; otherwise the seals of closed slabs are believed
 */
export function inspectLog(directory: LogDirectory, verify: boolean): LogReport {
  const readOnly = new ReadOnlyDirectory(directory)
  const { slabs, report, nextSequence } = recover(readOnly, () => readOnly)
  if (verify) {
    const reader = new LogReader(readOnly, slabs, () => undefined)
    for (let fromSequence = 1, isAtEnd = false; !isAtEnd; ) {
      ;({ nextSequence: fromSequence, isAtEnd } = reader.read({ fromSequence, maxBytes: READ_BYTES }, nextSequence))
    }
    reader.close()
  }
  return {
    slabs: slabs.map(slab => ({
      name: slab.name,
      sizeBytes: slab.endBytes,
      firstSequence: slab.firstSequence,
      entries: slab.entryCount,
      openEntries: slab.openCount,
      damagedEntries: slab.damagedCount,
      destinations: slab.destinations
    })),
    report,
    nextSequence
  }
}
