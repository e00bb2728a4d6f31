import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Document, LineCounter } from 'yaml'
import { foreignTexts } from '../../core/foreign-texts.js'
import { messageOf } from '../../core/node-errors.js'
import type { Leaf } from '../../core/settings/leaves.js'
import { type Assignment, suggestion } from '../../core/settings/problems.js'
import type { Environment } from '../../core/settings/setting-names.js'
import { environmentName, toSnake, whatBecameOfVariable } from '../../core/settings/setting-names.js'
import { isSecretVariable } from '../../webhooks/definitions.js'

/** Matches variables that Kubernetes sets in the namespace of a service called `castellan`. They are not settings. */
const KUBERNETES_VARIABLE = /^CASTELLAN_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)$/

const PREFIX = 'CASTELLAN_'

const isNoSetting = (variable: string): boolean => KUBERNETES_VARIABLE.test(variable) || isSecretVariable(variable)

/** Variables with a short name: `CASTELLAN_BROKERS` names the brokers of the default cluster, like `--brokers`. */
const SHORT_NAMES = new Map([['CASTELLAN_BROKERS', ['clusters', 'default', 'brokers']]])

/** The settings that were read, and the problems. */
export interface SourceResult {
  readonly assignments: readonly Assignment[]
  readonly problems: readonly string[]
}

/**
 * Reads a YAML file into assignments: `http: {port: 1}` => `http.port = 1`. Each setting in a map becomes a separate
 * assignment, so that a later source replaces single settings and not whole sections.
 */
export function fromYaml(text: string, fileName: string): SourceResult {
  // The YAML library is loaded only when a file is read, because most programs that use the library have no file.
  const yaml: typeof import('yaml') = createRequire(import.meta.url)('yaml')
  const lines = new yaml.LineCounter()
  const document = yaml.parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'error',
    uniqueKeys: true
  })
  const [flaw] = [...document.errors, ...document.warnings]
  if (flaw) {
    const { line, col } = lines.linePos(flaw.pos[0])
    return problem(`${fileName}: ${withoutContent(flaw.message)} at line ${line}, column ${col}`)
  }
  let content: unknown
  try {
    content = document.toJS()
  } catch (error) {
    return problem(`${fileName}: ${withoutContent(messageOf(error))}`)
  }
  if (content === null || content === undefined) return { assignments: [], problems: [] }
  if (!isMap(content)) return problem(`${fileName}: expected settings such as "http:", not a ${typeof content}`)
  return { assignments: assignmentsOf(content, fileName, path => lineOf(document, lines, path)), problems: [] }
}

const problem = (line: string): SourceResult => ({ assignments: [], problems: [line] })

/** Cuts the parser's message where it begins to quote the file, because the file may contain secrets. */
const withoutContent = (message: string): string => message.replace(foreignTexts.yaml.quotation, '')

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
    // An empty section ("http:") sets nothing.
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

/** The line of a value. If the value cannot be found, the line of the nearest section around it. */
function lineOf(document: Document, lines: LineCounter, path: readonly string[]): number | undefined {
  for (let depth = path.length; depth > 0; depth--) {
    const node = document.getIn(path.slice(0, depth), true) as { range?: readonly number[] | null } | undefined
    if (node?.range) return lines.linePos(node.range[0]!).line
  }
  return undefined
}

/**
 * Reads `CASTELLAN_…` variables. A variable can name a file that contains a secret:
 * `…_PASSWORD_FILE=/run/secrets/password`.
 *
 * @param knownNames names of clusters in the file, so that `CLUSTERS_EU_WEST_…` finds the cluster `eu-west`
 */
export function fromEnvironment(
  environment: Environment,
  leaves: readonly Leaf[],
  knownNames: readonly string[]
): SourceResult {
  const assignments: Assignment[] = []
  const problems: string[] = []
  for (const [name, text] of Object.entries(environment)) {
    // An empty variable counts as absent, because shells and compose files pass unset variables as empty.
    if (!name.startsWith(PREFIX) || text === undefined || text === '' || isNoSetting(name)) continue
    const found = findLeaf(name, leaves, knownNames)
    if (!found) problems.push(`${name}: no such setting${closestVariable(name, leaves)}`)
    else if (!found.fromFile) assignments.push({ path: found.path, value: fromText(text, found.leaf), origin: name })
    else {
      const content = readSecret(text)
      // The message does not repeat the file name, because by mistake the variable may contain the secret itself.
      if (content === undefined) problems.push(`${name}: the file it names cannot be read`)
      else assignments.push({ path: found.path, value: fromText(content, found.leaf), origin: name })
    }
  }
  return { assignments, problems }
}

/** Converts the text of a variable or flag to the type of a setting. The schema then checks the value. */
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

/** Parses a list of structures. In variables and flags such a list is written as JSON. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Suggests the variable that was probably meant. Variables that contain the name of a cluster are never suggested. */
function closestVariable(name: string, leaves: readonly Leaf[]): string {
  const became = whatBecameOfVariable(name, leaves)
  if (became) return became
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

/**
 * The path of the setting that the variable `name` stands for. `undefined`: the variable does not stand for this leaf.
 */
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

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
