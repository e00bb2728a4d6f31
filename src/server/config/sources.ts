import { readFileSync } from 'node:fs'
import { type Document, LineCounter, parseDocument } from 'yaml'
import type { Assignment } from '../../core/settings/assignment.js'
import { renamedVariable } from '../../core/settings/former-names.js'
import type { Leaf } from '../../core/settings/leaves.js'
import { suggestion } from '../../core/settings/suggestion.js'

/** Variables that Kubernetes sets in the namespace of a service called `castellan`; they are no settings. */
const KUBERNETES_VARIABLE = /^CASTELLAN_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)$/

const PREFIX = 'CASTELLAN_'

/** `CASTELLAN_BROKERS` is short for the brokers of the default cluster, as `--brokers` is. */
const SHORT_NAMES = new Map([['CASTELLAN_BROKERS', ['clusters', 'default', 'brokers']]])

/** The settings that were read, and the problems. */
export interface SourceResult {
  readonly assignments: readonly Assignment[]
  readonly problems: readonly string[]
}

/**
 * Reads a YAML file into assignments: `http: {port: 1}` => `http.port = 1`. Maps are descended into, so that a later
 * source replaces single settings rather than whole sections.
 */
export function fromYaml(text: string, fileName: string): SourceResult {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error', uniqueKeys: true })
  const [flaw] = [...document.errors, ...document.warnings]
  if (flaw) {
    const { line, col } = lines.linePos(flaw.pos[0])
    return problem(`${fileName}: ${withoutContent(flaw.message)} at line ${line}, column ${col}`)
  }
  let content: unknown
  try {
    content = document.toJS()
  } catch (error) {
    return problem(`${fileName}: ${withoutContent((error as Error).message)}`)
  }
  if (content === null || content === undefined) return { assignments: [], problems: [] }
  if (!isMap(content)) return problem(`${fileName}: expected settings such as "http:", not a ${typeof content}`)
  return { assignments: assignmentsOf(content, fileName, path => lineOf(document, lines, path)), problems: [] }
}

const problem = (line: string): SourceResult => ({ assignments: [], problems: [line] })

/** The parser's message up to where it quotes the file, which may contain secrets. */
const withoutContent = (message: string): string => message.replace(/\s*[:!%"*(|].*$/s, '')

function assignmentsOf(
  content: Record<string, unknown>,
  fileName: string,
  lineAt: (path: readonly string[]) => number | undefined
): Assignment[] {
  const originAt = (path: readonly string[]): string => {
    const line = lineAt(path)
    return line === undefined ? fileName : `${fileName}, line ${line}`
  }
  const assignments: Assignment[] = []
  const visit = (value: unknown, path: readonly string[]): void => {
    // An empty section ("http:") says nothing.
    if (value === null) return
    if (isMap(value) && Object.keys(value).length > 0) {
      for (const [key, child] of Object.entries(value)) visit(child, [...path, key])
    } else if (path.length > 0) {
      assignments.push({ path, value, origin: fileName, originAt })
    }
  }
  visit(content, [])
  return assignments
}

/** The line of a value, or of the nearest value around it that can be found. */
function lineOf(document: Document, lines: LineCounter, path: readonly string[]): number | undefined {
  for (let depth = path.length; depth > 0; depth--) {
    const node = document.getIn(path.slice(0, depth), true) as { range?: readonly number[] | null } | undefined
    if (node?.range) return lines.linePos(node.range[0]!).line
  }
  return undefined
}

/** `http.port` <=> `CASTELLAN_HTTP_PORT`, `clusters.eu-west.tls.caFile` <=> `CASTELLAN_CLUSTERS_EU_WEST_TLS_CA_FILE`. */
export const environmentName = (path: readonly string[]): string =>
  PREFIX + path.map(part => (part === '*' ? '<NAME>' : toSnake(part))).join('_')

/**
 * Reads `CASTELLAN_…` variables. Secrets may come from a file instead: `…_PASSWORD_FILE=/run/secrets/password`.
 *
 * @param knownNames names of clusters seen in the file, so that `CLUSTERS_EU_WEST_…` finds `eu-west`
 */
export function fromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  leaves: readonly Leaf[],
  knownNames: readonly string[]
): SourceResult {
  const assignments: Assignment[] = []
  const problems: string[] = []
  for (const [name, text] of Object.entries(environment)) {
    // An empty variable is how shells and compose files say "not set".
    if (!name.startsWith(PREFIX) || text === undefined || text === '' || KUBERNETES_VARIABLE.test(name)) continue
    const found = findLeaf(name, leaves, knownNames)
    if (!found) problems.push(`${name}: no such setting${closestVariable(name, leaves)}`)
    else if (!found.fromFile) assignments.push({ path: found.path, value: fromText(text, found.leaf), origin: name })
    else {
      const content = readSecret(text)
      // The file is not named in the message: the value may be the secret itself, which is the most likely mistake.
      if (content === undefined) problems.push(`${name}: the file it names cannot be read`)
      else assignments.push({ path: found.path, value: fromText(content, found.leaf), origin: name })
    }
  }
  return { assignments, problems }
}

/** Turns the text of a variable or flag into the kind of value a setting holds; the schema judges what comes out. */
export function fromText(text: string, leaf: Leaf): unknown {
  switch (leaf.kind) {
    case 'number':
    case 'numberOrWord':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text
    case 'list':
      return text.split(',').map(item => item.trim())
    case 'structure':
      return fromJson(text)
    case 'string':
      return text
  }
}

/** Lists of structures are written as JSON outside of files. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Suggests the variable that was probably meant; variables with a cluster's name in them are not suggested. */
function closestVariable(name: string, leaves: readonly Leaf[]): string {
  const renamed = renamedVariable(name)
  if (renamed) return `; it is called ${renamed} now`
  const names = leaves.filter(({ path }) => !path.includes('*')).map(({ path }) => environmentName(path))
  return suggestion(name, [...names, ...SHORT_NAMES.keys()])
}

interface FoundLeaf {
  readonly leaf: Leaf
  readonly path: readonly string[]
  readonly fromFile: boolean
}

function findLeaf(name: string, leaves: readonly Leaf[], knownNames: readonly string[]): FoundLeaf | undefined {
  const short = SHORT_NAMES.get(name)
  for (const leaf of leaves) {
    if (short && leaf.path.at(-1) === short.at(-1)) return { leaf, path: short, fromFile: false }
    const path = match(name, leaf, knownNames)
    if (path) return { leaf, path, fromFile: false }
    const path2 =
      leaf.isSecret && name.endsWith('_FILE') ? match(name.slice(0, -'_FILE'.length), leaf, knownNames) : undefined
    if (path2) return { leaf, path: path2, fromFile: true }
  }
  return undefined
}

/** The path that `name` means, when it means this leaf. */
function match(name: string, leaf: Leaf, knownNames: readonly string[]): readonly string[] | undefined {
  const wildcard = leaf.path.indexOf('*')
  if (wildcard < 0) return environmentName(leaf.path) === name ? leaf.path : undefined
  const before = `${environmentName(leaf.path.slice(0, wildcard))}_`
  const after = `_${leaf.path
    .slice(wildcard + 1)
    .map(toSnake)
    .join('_')}`
  if (!name.startsWith(before) || !name.endsWith(after) || name.length <= before.length + after.length) return undefined
  const chosen = name.slice(before.length, -after.length)
  const known = knownNames.find(candidate => toSnake(candidate) === chosen)
  return leaf.path.map((part, index) =>
    index === wildcard ? (known ?? chosen.toLowerCase().replaceAll('_', '-')) : part
  )
}

function readSecret(fileName: string): string | undefined {
  try {
    return readFileSync(fileName, 'utf8').replace(/\r?\n$/, '')
  } catch {
    return undefined
  }
}

/** `caFile` => `CA_FILE`, `eu-west` => `EU_WEST`. */
const toSnake = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase()

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
