import { printable, printableJson } from '../core/printable.js'

/** The name of a field, which is shown as a column. */
export type Column<Row> = keyof Row & string

/** Writes rows as a table with a header line, or each row as one line of JSON with all its fields. */
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

/** The title of a column: `sizeBytes` => `BYTES`, `firstSequence` => `FIRST SEQUENCE`. */
const toTitle = (column: string): string =>
  column === 'sizeBytes' ? 'BYTES' : column.replace(/(?=[A-Z])/g, ' ').toUpperCase()
