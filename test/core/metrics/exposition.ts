/** One sample of a metric in Prometheus' text format. */
interface Sample {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

interface Family {
  readonly name: string
  readonly type: string | undefined
  readonly help: string | undefined
  readonly samples: Sample[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? ([^ ]+)$`)
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/
const COMMENT = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`)
const TYPES = new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped'])

/**
 * What `promtool check metrics` would complain of, and more: text that cannot be parsed, families that are torn apart, series
 * that occur twice, histograms that do not add up, and names that break the conventions.
 *
 * @param isFree exempts names from the conventions: those of imitated systems are not ours to choose
 */
export function expositionProblems(text: string, isFree: (name: string) => boolean = () => false): string[] {
  const problems: string[] = []
  const families = parse(text, problems)
  for (const family of families.values()) {
    problems.push(...structureProblems(family))
    if (!isFree(family.name)) problems.push(...nameProblems(family))
  }
  return problems
}

function parse(text: string, problems: string[]): ReadonlyMap<string, Family> {
  const families = new Map<string, Family>()
  if (!text.endsWith('\n')) problems.push('the last line has no end')
  let current: Family | undefined
  for (const line of text.split('\n')) {
    if (line === '') continue
    if (line.startsWith('#')) current = readComment(line, families, current, problems)
    else readSample(line, current, problems)
  }
  return families
}

function readComment(
  line: string,
  families: Map<string, Family>,
  current: Family | undefined,
  problems: string[]
): Family | undefined {
  const [, kind, name, rest] = COMMENT.exec(line) ?? []
  if (name === undefined) {
    problems.push(`no comment: ${line}`)
    return current
  }
  const known = families.get(name)
  if (known !== undefined && (known !== current || known.samples.length > 0)) {
    problems.push(`${name}: its lines are torn apart`)
  }
  const before = known ?? { name, type: undefined, help: undefined, samples: [] }
  const already = kind === 'HELP' ? before.help : before.type
  if (already !== undefined) problems.push(`${name}: has ${kind} twice`)
  const family = kind === 'HELP' ? { ...before, help: rest } : { ...before, type: rest }
  families.set(name, family)
  return family
}

function readSample(line: string, family: Family | undefined, problems: string[]): void {
  const [, name, labelText = '', valueText] = SAMPLE.exec(line) ?? []
  if (name === undefined || valueText === undefined) {
    problems.push(`no sample: ${line}`)
    return
  }
  const labels = readLabels(labelText)
  const value = valueText === '+Inf' ? Infinity : valueText === '-Inf' ? -Infinity : Number(valueText)
  if (labels === undefined) problems.push(`labels that cannot be read: ${line}`)
  if (Number.isNaN(value) && valueText !== 'NaN') problems.push(`no number: ${line}`)
  if (family === undefined || !namesOf(family).includes(name)) problems.push(`no family is open for ${name}`)
  else family.samples.push({ name, labels: labels ?? new Map(), value })
}

function readLabels(text: string): ReadonlyMap<string, string> | undefined {
  const labels = new Map<string, string>()
  let rest = text
  while (rest !== '') {
    const match = LABEL.exec(rest)
    if (match === null || labels.has(match[1]!)) return undefined
    labels.set(match[1]!, match[2]!)
    rest = rest.slice(match[0].length)
  }
  return labels
}

const namesOf = ({ name, type }: Family): string[] =>
  type === 'histogram' ? ['_bucket', '_sum', '_count'].map(ending => name + ending) : [name]

const keyOf = ({ name, labels }: Sample, without?: string): string =>
  `${name}${JSON.stringify([...labels].filter(([label]) => label !== without).sort())}`

function structureProblems(family: Family): string[] {
  const { name, type, help, samples } = family
  const problems: string[] = []
  if (help === undefined) problems.push(`${name}: has no HELP`)
  if (type === undefined || !TYPES.has(type)) problems.push(`${name}: has no type, or ${type}`)
  const keys = samples.map(sample => keyOf(sample))
  for (const key of new Set(keys.filter((one, at) => keys.indexOf(one) !== at))) problems.push(`${key}: occurs twice`)
  if (type === 'counter' && samples.some(({ value }) => !(value >= 0))) problems.push(`${name}: is below 0`)
  if (type === 'histogram') problems.push(...histogramProblems(family))
  return problems
}

function histogramProblems({ name, samples }: Family): string[] {
  const problems: string[] = []
  const buckets = new Map<string, Sample[]>()
  for (const sample of samples.filter(one => one.name === `${name}_bucket`)) {
    const key = keyOf(sample, 'le')
    buckets.set(key, [...(buckets.get(key) ?? []), sample])
  }
  const totals = samples.filter(one => one.name === `${name}_count`)
  if (totals.length !== buckets.size) problems.push(`${name}: ${totals.length} counts for ${buckets.size} series`)
  for (const series of buckets.values()) {
    const bounds = series.map(({ labels }) => (labels.get('le') === '+Inf' ? Infinity : Number(labels.get('le'))))
    const values = series.map(({ value }) => value)
    const isRising = (list: number[]): boolean => list.every((one, at) => at === 0 || one >= list[at - 1]!)
    if (!isRising(bounds) || bounds.at(-1) !== Infinity) problems.push(`${name}: its buckets do not rise to +Inf`)
    if (!isRising(values)) problems.push(`${name}: its buckets do not add up`)
    const count = totals.find(one => keyOf({ ...one, name: `${name}_bucket` }) === keyOf(series[0]!, 'le'))
    if (count?.value !== values.at(-1)) problems.push(`${name}: ${count?.value} is not what its buckets count`)
  }
  return problems
}

/** Source: https://prometheus.io/docs/practices/naming */
function nameProblems({ name, type, samples }: Family): string[] {
  const problems: string[] = []
  if ((type === 'counter') !== name.endsWith('_total'))
    problems.push(`${name}: _total is for counters, and they need it`)
  if (/_(milliseconds|ms|micros|minutes|kilobytes|kib)\b/.test(name)) problems.push(`${name}: is not in base units`)
  if (name !== name.toLowerCase()) problems.push(`${name}: has capitals`)
  const labels = new Set(samples.flatMap(one => [...one.labels.keys()]))
  for (const label of labels) if (label !== label.toLowerCase()) problems.push(`${name}: label ${label} has capitals`)
  return problems
}
