import { getSystemErrorMap } from 'node:util'
import { performanceClock } from '../core/clocks.js'
import type { TellProgress } from '../core/model.js'
import { printable, printableJson } from '../core/printable.js'
import type { Environment } from '../core/settings/setting-names.js'
import { CommandError } from './command.js'

const REWRITE_EVERY_MS = 1_000
const USUAL_COLUMNS = 80

/** The error code after the reader of stdout has closed it, as `| head` does. This needs no message. */
const READER_LEFT = 'EPIPE'

/**
 * Waits until the stream has taken everything.
 *
 * @returns false when the reader has closed the stream
 * @throws CommandError when the stream cannot be written to, for example because the disk is full
 */
export async function flush(stdout: NodeJS.WriteStream): Promise<boolean> {
  const error = stdout.errored ?? (await new Promise<Error | null | undefined>(resolve => stdout.write('', resolve)))
  // `errored` has the original error: a write after a failed write reports only that the stream is destroyed.
  const cause = (stdout.errored ?? error) as NodeJS.ErrnoException | null | undefined
  if (cause === null || cause === undefined) return true
  if (cause.code === READER_LEFT) return false
  const [, meaning] = getSystemErrorMap().get(cause.errno ?? 0) ?? []
  throw new CommandError(`cannot write to stdout: ${meaning ?? cause.message} (${cause.code})`)
}

/** Whether to write colors; see https://no-color.org. */
export const usesColors = (stream: NodeJS.WriteStream, environment: Environment): boolean =>
  stream.isTTY && (environment.NO_COLOR ?? '') === ''

/**
 * Says on stderr how far a command is: in a line that is written again on a terminal, elsewhere in one each ten seconds.
 *
 * @returns what the work tells, and what removes the line in the end
 */
export async function openProgress(
  stderr: NodeJS.WriteStream,
  name: string
): Promise<{ readonly tell: TellProgress; end(): void }> {
  const { ANEW, ProgressTeller } = await import('../server/app/progress.js')
  const shown = (text: string): string =>
    stderr.isTTY ? `${ANEW}${text.slice(0, (stderr.columns || USUAL_COLUMNS) - 1)}` : `${text}\n`
  const say = (text: string): unknown => stderr.write(shown(`${name}: ${text}`))
  const { tell } = new ProgressTeller(say, performanceClock, stderr.isTTY ? REWRITE_EVERY_MS : undefined)
  return { tell, end: () => void (stderr.isTTY && stderr.write(ANEW)) }
}

/** The name of a field, which is shown as a column. */
export type RowColumn<Row> = keyof Row & string

/**
 * Writes rows as a table with a header line, or each row as one line of JSON with all its fields. In a table, `-` stands
 * for `null`.
 */
export function writeTable<Row extends object>(
  stdout: NodeJS.WritableStream,
  format: 'table' | 'json' = 'table',
  columns: readonly RowColumn<Row>[],
  rows: readonly Row[]
): void {
  if (format === 'json') {
    for (const row of rows) stdout.write(`${printableJson(JSON.stringify(row))}\n`)
    return
  }
  const cells = rows.map(row => columns.map(column => printable(textOf(row[column] ?? '-'))))
  const headline = columns.map(toTitle)
  const widths = headline.map((title, at) =>
    cells.reduce((widest, row) => Math.max(widest, row[at]!.length), title.length)
  )
  const isNumber = columns.map(
    column =>
      rows.some(row => typeof row[column] === 'number') &&
      rows.every(row => typeof row[column] === 'number' || row[column] === null)
  )
  for (const line of [headline, ...cells]) {
    const padded = line.map((cell, at) => (isNumber[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
    stdout.write(`${padded.join('  ').trimEnd()}\n`)
  }
}

const textOf = (cell: unknown): string => (Array.isArray(cell) ? cell.join(' ') : String(cell))

/** The title of a column: `sizeBytes` => `BYTES`, `firstSequence` => `FIRST SEQUENCE`. */
const toTitle = (column: string): string =>
  column === 'sizeBytes' ? 'BYTES' : column.replace(/(?=[A-Z])/g, ' ').toUpperCase()
