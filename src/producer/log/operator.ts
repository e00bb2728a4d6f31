import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { performanceClock } from '../../core/clocks.js'
import { isLocked } from '../../core/files/directory-lock.js'
import type { TellProgress } from '../../core/model.js'
import { type LogRefusal, LogUnusableError } from './availability.js'
import { DeadLetters } from './dead-letters.js'
import { encodeEntry } from './entry.js'
import { READ_BYTES } from './entry-reader.js'
import type { LogDirectory } from './files.js'
import { lockLog } from './log-lock.js'
import { LogStore, type LogStoreOptions } from './log-store.js'
import { NodeDirectory } from './node-files.js'
import { holdsRecords, workerNamesIn } from './open-durable-log.js'
import { type SalvagedSegment, salvageLog } from './salvage.js'
import type { WalSettings } from './settings.js'

/** One of the logs in a directory: the log of a single process, or of a worker of an earlier build. */
export interface ExistingLog {
  /** `worker-1`; `.` is the directory itself. */
  readonly name: string
  readonly directory: LogDirectory
}

/**
 * The logs that a command looks at: the one in the directory itself, and those that workers of an earlier build have left below it.
 *
 * @returns at least one
 * @throws LogUnusableError when there is none; inspection does not create one
 */
export function existingLogs(directory: string): readonly ExistingLog[] {
  const root = resolve(directory)
  const logs = ['.', ...workerNamesIn(root)]
    .map(name => ({ name, path: join(root, name) }))
    .filter(({ path }) => existsSync(join(path, 'FORMAT')) || holdsRecords(path))
  if (logs.length > 0) return logs.map(({ name, path }) => ({ name, directory: new NodeDirectory(path) }))
  throw new LogUnusableError(`there is no durable log in ${root}; --directory DIR names another directory`)
}

/** Whether a running process has the log open. */
export const isInUse = ({ path }: LogDirectory): Promise<boolean> => isLocked(path)

type ReportOfStore = LogStoreOptions['report']

/**
 * Puts dead letters back into a log, or forgets them for good.
 *
 * @throws LogUnusableError when another process has the log open
 */
type Redrive = (
  log: ExistingLog,
  settings: WalSettings,
  which: Selection,
  report: ReportOfStore,
  tell?: TellProgress
) => Promise<RedriveResult>

export const replay: Redrive = (log, settings, which, report, tell) =>
  withOwnLog(log, settings, report, options => replayDeadLetters(options, settings.maxDeadLetterBytes, which, tell))

export const discard: Redrive = (log, settings, which, report) =>
  withOwnLog(log, settings, report, options => discardDeadLetters(options, settings.maxDeadLetterBytes, which))

/**
 * Puts back what can be read of segments that were set aside, also of dead letters.
 *
 * @throws LogUnusableError when another process has the log open
 */
export const salvage = (
  log: ExistingLog,
  settings: WalSettings,
  report: ReportOfStore,
  tell: TellProgress
): Promise<readonly SalvagedSegment[]> => withOwnLog(log, settings, report, options => salvageLog(options, tell))

async function withOwnLog<T>(
  { directory }: ExistingLog,
  settings: WalSettings,
  report: ReportOfStore,
  use: (options: LogStoreOptions) => T
): Promise<T> {
  const lock = await lockLog(directory.path, () => undefined)
  let salt = randomBytes(4).readUInt32BE(0)
  try {
    return use({
      ...settings,
      directory,
      syncPuts: settings.fsyncPuts,
      syncTakes: settings.fsyncTakes,
      now: Date.now,
      clock: performanceClock,
      newSalt: () => (salt = (salt + 1) >>> 0),
      report
    })
  } finally {
    lock.release()
  }
}

/** Sequences of the chosen dead letters; absent: all. */
export type Selection = ReadonlySet<number> | undefined

export interface RedriveResult {
  readonly count: number
  /** Why the others remain dead letters. */
  readonly refusal: LogRefusal | undefined
}

/**
 * Puts dead letters back into the log, to be delivered at the next start, behind what is there. Each is written to the
 * log before it is removed from the dead letters: a crash in between leaves it in both.
 *
 * @param options of the log; its directory must belong to this process
 */
export function replayDeadLetters(
  options: LogStoreOptions,
  maxDeadLetterBytes: number,
  which: Selection,
  tell?: TellProgress
): RedriveResult {
  const store = new LogStore({ ...options, syncPuts: true })
  try {
    return redrive(
      options,
      maxDeadLetterBytes,
      which,
      ({ destination, acceptedAtMs, body }) => store.commit(encodeEntry(destination, body, acceptedAtMs)).refusal,
      tell
    )
  } finally {
    store.close()
  }
}

/** Forgets dead letters for good. */
export const discardDeadLetters = (
  options: LogStoreOptions,
  maxDeadLetterBytes: number,
  which: Selection
): RedriveResult => redrive(options, maxDeadLetterBytes, which, () => undefined)

function redrive(
  options: LogStoreOptions,
  maxDeadLetterBytes: number,
  which: Selection,
  take: (letter: ReturnType<DeadLetters['list']>['letters'][number]) => LogRefusal | undefined,
  tell?: TellProgress
): RedriveResult {
  const dead = new DeadLetters({ ...options, maxBytes: maxDeadLetterBytes })
  const all = which?.size ?? dead.count
  let [count, bytes] = [0, 0]
  try {
    for (let fromSequence = which ? Math.min(...which) : 1, isAtEnd = false; !isAtEnd; ) {
      const list = dead.list(fromSequence, READ_BYTES)
      for (const letter of list.letters) {
        if (which && !which.has(letter.sequence)) continue
        const refusal = take(letter)
        if (refusal) return { count, refusal }
        count += dead.forget([{ first: letter.sequence, count: 1 }])
        bytes += letter.body.length
        tell?.({ records: count, bytes }, { records: all - count, bytes: 0 }, options.directory.path)
      }
      fromSequence = list.nextSequence
      isAtEnd = list.isAtEnd
    }
    return { count, refusal: undefined }
  } finally {
    dead.close()
  }
}
