import { closeSync, openSync, readSync } from 'node:fs'
import { ConfigError } from '../../core/errors.js'
import { codeOf } from '../../core/node-errors.js'
import type { Leaf } from '../../core/settings/leaves.js'
import { type Assignment, didYouMean } from '../../core/settings/problems.js'
import type { Environment } from '../../core/settings/setting-names.js'
import { isWithin } from '../../core/settings/setting-names.js'
import { fromEnvironment, fromText, fromYaml, type SourceResult } from './sources.js'

/** A flag with the value of a setting: `--port 80` is `{flag: '--port', path: ['http', 'port'], value: '80'}`. */
export interface FlagSetting {
  readonly flag: string
  readonly path: readonly string[]
  /** A text is converted to the type of the setting. */
  readonly value: string | boolean
}

/** The sources of values. A later source overrides an earlier one. */
export interface ValueSources {
  /** Values translated from the configuration of an imitated system. */
  readonly translated?: readonly Assignment[] | undefined
  readonly file?: string | undefined
  readonly environment?: Environment | undefined
  /** Settings that flags give, in the order of the command line. */
  readonly flags?: readonly FlagSetting[] | undefined
}

/**
 * Reads all sources. The values of a later source override those of an earlier one.
 *
 * @throws ConfigError when the file cannot be read
 */
export function readSources(
  { translated = [], file, environment = {}, flags = [] }: ValueSources,
  leaves: readonly Leaf[]
): SourceResult {
  const fromFile =
    file === undefined ? { assignments: [], problems: [] } : fromYaml(readText(file, '; it must be a YAML file'), file)
  const before = [...translated, ...fromFile.assignments]
  const former = leaves.filter(isMoved).map(leaf => ({ ...leaf, path: leaf.path.slice(1) }))
  const known = [...leaves, ...former]
  const clusterNames = before.filter(({ path }) => path[0] === 'clusters').map(({ path }) => path[1] ?? '')
  const fromVariables = fromEnvironment(environment, known, ['default', ...clusterNames])
  const given = fromFlags(flags, known)
  return {
    assignments: [...before, ...fromVariables.assignments, ...given.assignments].map(one => moved(one, former)),
    problems: [...fromFile.problems, ...fromVariables.problems, ...given.problems]
  }
}

/** Settings that were not in `advanced` before, and are read under both names. */
const MOVED: ReadonlySet<string> = new Set([
  ...['syncUrl', 'asyncUrl', 'routesSync', 'routesAsync', 'routesAsyncBatch', 'maxBufferRecords', 'bufferTtlMs'].map(
    name => `apis.kafboy.${name}`
  ),
  ...['apis.kprf.failureWord', 'apis.arion.producesByGet', 'apis.kafka-pixy.unixSocketMode'],
  ...['http.keepAliveTimeoutMs', 'http.accessLog.share', 'router.requestTimeoutMs', 'router.onClusterChange'],
  ...['consumer.rebalanceTimeoutMs', 'embedded.retentionBytes']
])

const isMoved = ({ isAdvanced, path }: Leaf): boolean => isAdvanced && MOVED.has(path.slice(1).join('.'))

/** The assignment with the name that the setting has today. */
function moved(assignment: Assignment, former: readonly Leaf[]): Assignment {
  const { path, originAt } = assignment
  if (!former.some(leaf => isWithin(leaf.path, path))) return assignment
  return { ...assignment, path: ['advanced', ...path], ...(originAt && { originAt: at => originAt(at.slice(1)) }) }
}

function fromFlags(flags: readonly FlagSetting[], leaves: readonly Leaf[]): SourceResult {
  const assignments: Assignment[] = []
  const problems: string[] = []
  for (const { flag, path, value } of flags) {
    const leaf = leafAt(path, leaves)
    const part = leaf ?? leaves.find(one => isWithin(path, one.path))
    if (!part) problems.push(`${flag}: there is no setting ${path.join('.')}${didYouMean(path, leaves)}`)
    else if (!leaf) problems.push(`${flag}: ${path.join('.')} has settings of its own, such as ${part.path.join('.')}`)
    else assignments.push({ path, value: typeof value === 'string' ? fromText(value, leaf) : value, origin: flag })
  }
  return { assignments, problems }
}

const leafAt = (path: readonly string[], leaves: readonly Leaf[]): Leaf | undefined =>
  leaves.find(
    leaf => leaf.path.length === path.length && leaf.path.every((part, i) => part === '*' || part === path[i])
  )

/** Maximum size of a file of settings. Real files are much smaller, and the parsers are slow for larger ones. */
const MAX_BYTES = 4 * 1024 * 1024
const READ_BYTES = 64 * 1024

/**
 * Reads the text of a file of settings. The file may be a pipe.
 *
 * @param hint added to the error message; says what the file must be
 * @throws ConfigError when the file cannot be read or is too large
 */
export function readText(fileName: string, hint = ''): string {
  try {
    return readUpTo(fileName, MAX_BYTES).toString('utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`cannot read ${fileName} (${codeOf(error)})${hint}`, error)
  }
}

function readUpTo(fileName: string, maxBytes: number): Buffer {
  const descriptor = openSync(fileName, 'r')
  try {
    const pieces: Buffer[] = []
    for (let sizeBytes = 0; ; ) {
      const piece = Buffer.allocUnsafe(READ_BYTES)
      const count = readSync(descriptor, piece)
      if (count === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, count))
      sizeBytes += count
      if (sizeBytes > maxBytes) throw new ConfigError(`${fileName} has more than ${maxBytes} bytes: settings never do`)
    }
  } finally {
    closeSync(descriptor)
  }
}
