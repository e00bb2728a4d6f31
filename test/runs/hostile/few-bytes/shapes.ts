/** The JSON of a body around its records. */
export interface Form {
  readonly open: string
  readonly close: string
  readonly separator: string
  /** The shortest record that is taken. */
  readonly shortest: string
  /** A record around a value, which is JSON. */
  record(value: string): string
}

export type Shape = (form: Form, bytes: number) => string

const DEEPEST = 1_000
const NUMBER_DIGITS = 1_000_000

/** Repeats a text, with a separator between, up to a length. */
function repeated(text: string, bytes: number, separator = ''): string {
  const times = Math.max(1, Math.floor((bytes + separator.length) / (text.length + separator.length)))
  return (text + separator).repeat(times - 1) + text
}

const around = ({ open, close }: Form, records: string): string => open + records + close
const room = ({ open, close, record }: Form, bytes: number): number =>
  Math.max(6, bytes - open.length - close.length - record('""').length)
/** One record with a value that is made for the bytes which are left. */
const one =
  (value: (bytes: number) => string): Shape =>
  (form, bytes) =>
    around(form, form.record(value(room(form, bytes))))
const manyOf =
  (record: (form: Form) => string): Shape =>
  (form, bytes) =>
    around(form, repeated(record(form), bytes - form.open.length - form.close.length, form.separator))
const names = (bytes: number): string => {
  const fields: string[] = []
  for (let length = 0; length < bytes; length += fields.at(-1)!.length + 1) fields.push(`"n${fields.length}":0`)
  return `{${fields.join()}}`
}

/** Ways to make much work of few bytes: all of them become short again when they are compressed. */
export const shapes = {
  many: manyOf(form => form.shortest),
  'many that end too early': (form, bytes) => manyOf(form => form.shortest)({ ...form, close: '' }, bytes),
  'many with values': manyOf(form => form.record('{"a":[1,{"b":"c"}]}')),
  deep: one(bytes => '['.repeat(bytes / 2) + ']'.repeat(bytes / 2)),
  'deep objects': one(bytes => '{"a":'.repeat(bytes / 6) + '1' + '}'.repeat(bytes / 6)),
  'as deep as allowed': one(bytes => {
    const levels = DEEPEST - 20
    return `[${repeated('['.repeat(levels) + ']'.repeat(levels), bytes, ',')}]`
  }),
  'deep without an end': ({ open }, bytes) => open + '['.repeat(bytes),
  wide: one(names),
  lists: one(bytes => `[${repeated('{}', bytes, ',')}]`),
  escaped: one(bytes => `"${repeated('\\u0041', bytes)}"`),
  'escaped quotes': one(bytes => `"${repeated('\\"', bytes)}"`),
  'not ASCII': one(bytes => `"${repeated('€', bytes / 3)}"`),
  'long text': one(bytes => `"${'A'.repeat(bytes - (bytes % 4))}"`),
  blank: ({ open, close, record }, bytes) => open + ' '.repeat(bytes) + record('1') + close,
  'blank in a value': one(bytes => `[${' '.repeat(bytes)}]`),
  lines: ({ open }, bytes) => `${open}${'\n'.repeat(bytes)}?`,
  'number of 1 MB': one(bytes => '7'.repeat(Math.min(bytes, NUMBER_DIGITS))),
  'fraction of 1 MB': one(bytes => `0.${'3'.repeat(Math.min(bytes, NUMBER_DIGITS))}e-9`),
  numbers: one(bytes => `[${repeated('1234567890123456789', bytes, ',')}]`),
  'repeated names': one(bytes => `{${repeated('"a":1', bytes, ',')}}`),
  'repeated names of the body': ({ open, close, record, separator }, bytes) => {
    const name = /^\{"\w+":/.exec(open)?.[0].slice(1) ?? '"a":'
    const rest = repeated(`${name}1`, bytes, ',')
    return open.startsWith('{')
      ? `{${rest},${open.slice(1)}${record('1')}${close}`
      : `${open}{${rest}}${separator}${close}`
  }
} as const satisfies Readonly<Record<string, Shape>>

export type ShapeName = keyof typeof shapes
