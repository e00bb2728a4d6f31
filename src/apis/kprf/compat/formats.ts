import { extname } from 'node:path'
import { ConfigError } from '../../../core/errors.js'

type Parse = (text: string) => Promise<unknown>

/** The formats that kprf reads, each with the package that reads it, which is loaded for such a file only. */
const parsers = new Map<string, Parse>([
  ['.yaml', async text => (await import('yaml')).parse(text)],
  ['.yml', async text => (await import('yaml')).parse(text)],
  ['.json', async text => parseJson(text)],
  ['.toml', async text => (await import('smol-toml')).parse(text)],
  ['.ini', async text => fromPaths((await import('ini')).parse(text, { bracketedArray: false }))],
  ['.hjson', async text => (await import('hjson')).default.parse(text)]
])

/** Endings of the names of files that kprf reads. */
export const ENDINGS: readonly string[] = [...parsers.keys()]

export const hasKnownEnding = (name: string): boolean => parsers.has(extname(name).toLowerCase())

/**
 * The content of a file; its ending tells the format.
 *
 * @throws ConfigError in one line that quotes nothing of the file, which may hold a password
 */
export async function parseFile(name: string, text: string): Promise<unknown> {
  const read = parsers.get(extname(name).toLowerCase())
  if (read === undefined) {
    throw new ConfigError(`${name}: cannot be read: name a .yaml, .json, .toml, .ini or .hjson file`)
  }
  try {
    return await read(text)
  } catch (error) {
    // What follows in a parser's message quotes the file.
    const [line] = (error as Error).message.split(/\n|>>>/)
    throw new ConfigError(`${name}: ${line!.slice(0, 200).replace(/[:\s]+$/, '')}`)
  }
}

/** Without the parser's message, which quotes what it cannot read. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('is no valid JSON')
  }
}

type Tree = { [key: string]: unknown }

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value)
const emptyTree = (): Tree => Object.create(null) as Tree

/**
 * INI has no lists. kprf takes keys above the first section as paths instead: `kafka.brokers[0] = kafka-1:9092`.
 *
 * Source: config 0.11 (Rust), which kprf uses.
 */
function fromPaths(content: Tree): unknown {
  const root = emptyTree()
  for (const [key, value] of Object.entries(content)) {
    if (!isTree(value)) put(root, key.split(/[.[\]]+/).filter(Boolean), value)
    else for (const [name, inner] of Object.entries(value)) put(root, [key, name], inner)
  }
  return withLists(root)
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path
  if (key === undefined) return
  if (rest.length === 0) tree[key] = value
  else {
    const inner = isTree(tree[key]) ? (tree[key] as Tree) : emptyTree()
    tree[key] = inner
    put(inner, rest, value)
  }
}

/** Members that are numbers become a list, in their order. */
function withLists(value: unknown): unknown {
  if (!isTree(value)) return value
  const members = Object.entries(value).map(([key, inner]) => [key, withLists(inner)] as const)
  const isList = members.length > 0 && members.every(([key]) => /^\d+$/.test(key))
  if (!isList) return Object.fromEntries(members)
  return members.sort(([a], [b]) => Number(a) - Number(b)).map(([, inner]) => inner)
}
