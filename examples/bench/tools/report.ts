import { writeFileSync } from 'node:fs'

/** One line of the result of a benchmark. Fields that do not apply to a work are absent. */
export interface Row {
  readonly work: string
  /** The work's main figure, in `unit`. */
  readonly value: number
  readonly unit: string
  readonly recordsPerSecond?: number
  readonly meanMs?: number
  readonly p50Ms?: number
  readonly p99Ms?: number
  readonly p999Ms?: number
  /** The longest turn of the event loop, and the longest pause of the garbage collector, in the serving process. */
  readonly longestTickMs?: number
  readonly longestGcMs?: number
  readonly cpuUsPerRequest?: number
  /** Bytes that the process allocates in V8's heap for each record, or for each request. */
  readonly garbageBytes?: number
  readonly writesPerRequest?: number | undefined
  readonly rssMb?: number
  /** The ratio to `against`, measured in the same run. Above 1, this work is better. */
  readonly ratio?: number
  readonly against?: string
  /** The limits of `value` and `rssMb`. Above one of them the benchmark fails. */
  readonly mostValue?: number
  readonly mostRssMb?: number
  /** The limit of `ratio`. Below it the benchmark fails. */
  readonly leastRatio?: number
  /** The ratio computed from requests per second. Other processes on the same cores affect it. */
  readonly ratioRequests?: number
  /** A remark that a reader of the figure must know, for example about answers that were not 2xx. */
  readonly note?: string
  /** Figures that only this work has. */
  readonly [figure: string]: number | string | undefined
}

export interface Report {
  readonly name: string
  readonly rows: readonly Row[]
}

const COLUMNS: readonly (readonly [keyof Row & string, string])[] = [
  ['work', 'work'],
  ['value', 'value'],
  ['unit', 'unit'],
  ['recordsPerSecond', 'records/s'],
  ['functions', 'functions'],
  ['packageFiles', 'files of packages'],
  ['packageFunctions', 'functions of packages'],
  ['meanMs', 'mean ms'],
  ['p50Ms', 'p50 ms'],
  ['p99Ms', 'p99 ms'],
  ['p999Ms', 'p99.9 ms'],
  ['longestTickMs', 'longest tick ms'],
  ['longestGcMs', 'longest GC ms'],
  ['turnsBetween', 'p99 answers to each other'],
  ['mostTurnsBetween', 'most'],
  ['cpuUsPerRequest', 'CPU µs/req'],
  ['cpuUsPerRecord', 'CPU µs/record'],
  ['garbageBytes', 'garbage B/record or request'],
  ['writesPerRequest', 'writes/req'],
  ['rssMb', 'RSS MB'],
  ['ratio', 'ratio'],
  ['ratioRequests', 'ratio req/s'],
  ['against', 'against'],
  ['note', 'note']
]
const TEXT_COLUMNS: ReadonlySet<string> = new Set(['work', 'unit', 'against', 'note'])

/** Formats the rows as one table; columns without values are left out. */
export function toTable({ name, rows }: Report): string {
  const columns = COLUMNS.filter(([field]) => rows.some(row => row[field] !== undefined))
  const lines = [columns.map(([, title]) => title), ...rows.map(row => columns.map(([field]) => toCell(row[field])))]
  const widths = columns.map((_, column) => Math.max(...lines.map(line => line[column]!.length)))
  const text = lines.map(line =>
    line
      .map((cell, column) =>
        TEXT_COLUMNS.has(columns[column]![0]) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
      )
      .join('  ')
      .trimEnd()
  )
  return `${name}\n${text.join('\n')}\n`
}

function toCell(value: number | string | undefined): string {
  if (typeof value !== 'number') return value ?? ''
  if (Number.isNaN(value)) return '-'
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return String(round(value))
}

/** The figures that are beyond their limits, each as a line. */
export const beyondLimits = (rows: readonly Row[]): string[] =>
  rows.flatMap(
    ({ work, value, unit, mostValue = value, rssMb = 0, mostRssMb = rssMb, ratio = 1, leastRatio = ratio }) => [
      ...(value > mostValue ? [`${work}: ${round(value)} ${unit}, above the limit of ${mostValue}`] : []),
      ...(rssMb > mostRssMb ? [`${work}: ${round(rssMb)} MB, above the limit of ${mostRssMb}`] : []),
      ...(ratio < leastRatio ? [`${work}: a ratio of ${round(ratio)}, below the limit of ${leastRatio}`] : [])
    ]
  )

/** Rounds to three significant digits, because measurements are not more exact. */
export const round = (value: number): number =>
  Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3))

/** Writes `{name, rows}` for programs. Numbers are rounded as in the table. */
export function writeJson(file: string, { name, rows }: Report): void {
  const rounded = rows.map(row =>
    Object.fromEntries(
      Object.entries(row).map(([field, value]) => [field, typeof value === 'number' ? round(value) : value])
    )
  )
  writeFileSync(file, `${JSON.stringify({ name, rows: rounded }, null, 2)}\n`)
}

/** The median. For an even number of values, it is the mean of the two middle values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
