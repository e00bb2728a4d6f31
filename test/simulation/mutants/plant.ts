import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from '@babel/parser'

/** A bug that the simulation has to notice. */
export interface PlantedBug {
  readonly name: string
  /** What goes wrong, as a sentence. */
  readonly about: string
  readonly edits: readonly Edit[]
}

/** One change of the sources. It names no file and no line, so moving code does not break it. */
export interface Edit {
  /** The declaration that is changed: `judge`, `Batch`, `Batch.expire`, `Batch.#giveUp` or `Batch.constructor`. */
  readonly in: string
  /** Code that the declaration contains once. White space and comments do not count. */
  readonly find: string
  readonly replaceWith: string
}

/** Path and text of each source file. */
export type Sources = ReadonlyMap<string, string>

export class NotPlantedError extends Error {
  override readonly name = 'NotPlantedError'
}

export async function readSources(folder: string): Promise<Sources> {
  const names = await readdir(folder, { recursive: true })
  const paths = names.filter(name => name.endsWith('.ts')).map(name => join(folder, name))
  return new Map(await Promise.all(paths.map(async path => [path, await readFile(path, 'utf8')] as const)))
}

/**
 * The files that the bug changes, as they are with it.
 *
 * @throws NotPlantedError when a declaration or its code is not found, or found more than once
 */
export function plant(bug: PlantedBug, sources: Sources): Map<string, string> {
  const replacements = bug.edits.map(edit => ({ ...placeOf(edit, sources), text: edit.replaceWith }))
  const changed = new Map<string, string>()
  // From the end, so that the places of earlier ones still hold.
  for (const { path, start, end, text } of replacements.sort((one, other) => other.start - one.start)) {
    const before = changed.get(path) ?? sources.get(path)!
    changed.set(path, before.slice(0, start) + text + before.slice(end))
  }
  for (const [path, text] of changed) checkSyntax(path, text)
  return changed
}

interface Place {
  readonly path: string
  readonly start: number
  readonly end: number
}

function placeOf({ in: declaration, find }: Edit, sources: Sources): Place {
  const words = declaration.split(/\W+/)
  const declared = [...sources]
    .filter(([, text]) => words.every(word => text.includes(word)))
    .flatMap(([path, text]) => declarationsIn(text, declaration).map(found => ({ path, text, ...found })))
  if (declared.length === 0) throw new NotPlantedError(`no file declares ${declaration}`)
  const places = declared.flatMap(({ path, text, tokens }) =>
    matchesOf(find, tokens, text).map(range => ({ path, ...range }))
  )
  const [place] = places
  if (place !== undefined && places.length === 1) return place
  const files = [...new Set(declared.map(({ path }) => path))].join(', ')
  throw new NotPlantedError(`${declaration} (${files}) contains ${places.length} times, not once: ${find}`)
}

interface Range {
  readonly start: number
  readonly end: number
}

interface Declaration {
  readonly tokens: readonly Range[]
}

function declarationsIn(text: string, name: string): Declaration[] {
  const { program, tokens } = parseModule(text)
  const ranges = tokens as readonly (Range & { readonly type: unknown })[]
  const code = ranges.filter(({ type, start, end }) => end > start && !isComment(type))
  return program.body
    .map(statement => ('declaration' in statement ? statement.declaration : statement) as Named | null)
    .flatMap(statement => (statement === null ? [] : namedIn(statement)))
    .filter(named => named.name === name)
    .map(({ node }) => ({ tokens: code.filter(({ start, end }) => start >= node.start && end <= node.end) }))
}

const isComment = (type: unknown): boolean => type === 'CommentLine' || type === 'CommentBlock'

const parseModule = (text: string) => parse(text, { sourceType: 'module', plugins: ['typescript'], tokens: true })

/** What is looked at of a node of the syntax tree. */
interface Named extends Range {
  readonly type: string
  readonly id?: Named | null
  readonly key?: Named
  readonly name?: string
  readonly declarations?: readonly Named[]
  readonly body?: { readonly body?: readonly Named[] }
}

/** A declaration and the members of a class, each with its name. */
function namedIn(statement: Named): { name: string; node: Named }[] {
  const declared = (statement.declarations ?? [statement]).map(node => ({ name: node.id?.name ?? '', node }))
  if (statement.type !== 'ClassDeclaration') return declared
  const members = statement.body?.body ?? []
  return [...declared, ...members.map(node => ({ name: `${statement.id?.name}.${memberName(node)}`, node }))]
}

const memberName = ({ key }: Named): string =>
  key?.type === 'PrivateName' ? `#${key.id?.name}` : (key?.name ?? 'without a name')

/** Where these tokens in a row are what is looked for. */
function matchesOf(find: string, tokens: readonly Range[], text: string): Range[] {
  const matches: Range[] = []
  for (let first = 0; first < tokens.length; first++) {
    const last = lastOfMatch(find, tokens, first, text)
    if (last !== undefined) matches.push({ start: tokens[first]!.start, end: tokens[last]!.end })
  }
  return matches
}

function lastOfMatch(find: string, tokens: readonly Range[], first: number, text: string): number | undefined {
  let at = 0
  for (let index = first; index < tokens.length; index++) {
    const { start, end } = tokens[index]!
    const token = text.slice(start, end)
    // White space at the beginning of a part of a template counts.
    if (!find.startsWith(token, at)) at += /^\s*/.exec(find.slice(at))![0].length
    if (!find.startsWith(token, at)) return undefined
    at += token.length
    if (find.slice(at).trim() === '') return index
    if (/\w$/.test(token) && /\w/.test(find[at]!)) return undefined
  }
  return undefined
}

function checkSyntax(path: string, text: string): void {
  try {
    parseModule(text)
  } catch (error) {
    throw new NotPlantedError(`${path} is no TypeScript with it: ${(error as Error).message}`)
  }
}
