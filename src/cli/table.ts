import { printable, printableJson } from '../core/printable.js'

/** A field of the rows, in the order of the columns. */
export type Column<Row> = keyof Row & string

/** Writes rows as a table with a headline, or one line of JSON each with all of their fields. */
export function writeTable<Row extends object>(
  stdout: NodeJS.WritableStream,
  format: 'table' | 'json' = 'table',
  columns: readonly Column<Row>[],
  rows: readonly Row[]
): void {
  if (format === 'json') {
    for (const row of rows) stdout.write(`${printableJson(JSON.stringify(row))}\n`)
    return
  }
  const cells = rows.map(row => columns.map(column => printable(String(row[column]))))
  const headline = columns.map(toTitle)
  const widths = headline.map((title, at) =>
    cells.reduce((widest, row) => Math.max(widest, row[at]!.length), title.length)
  )
  const isNumber = columns.map(column => rows.length > 0 && rows.every(row => typeof row[column] === 'number'))
  for (const line of [headline, ...cells]) {
    const padded = line.map((cell, at) => (isNumber[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
    stdout.write(`${padded.join('  ').trimEnd()}\n`)
  }
}

/** `sizeBytes` is `BYTES`, `firstSequence` is `FIRST SEQUENCE`. */
const toTitle = (column: string): string =>
  column === 'sizeBytes' ? 'BYTES' : column.replace(/(?=[A-Z])/g, ' ').toUpperCase()
