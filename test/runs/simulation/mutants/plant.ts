import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

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
  /** Code that the declaration contains once. White space and comments between its words do not count. */
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
  const changed = new Map<string, string>()
  const places = bug.edits.map(edit => ({ ...placeOf(edit, sources), text: edit.replaceWith }))
  // From the end, so that the places of earlier ones still hold.
  for (const { path, start, end, text } of places.sort((one, other) => other.start - one.start)) {
    const before = changed.get(path) ?? sources.get(path)!
    changed.set(path, before.slice(0, start) + text + before.slice(end))
  }
  return changed
}

interface Place {
  readonly path: string
  readonly start: number
  readonly end: number
}

function placeOf({ in: declaration, find }: Edit, sources: Sources): Place {
  const [name, member] = declaration.split('.') as [string, string | undefined]
  const outer = new RegExp(
    `^(?:export )?(?:abstract |async )*(?:class|const|function\\*?) ${escaped(name)}(?!\\w)`,
    'gm'
  )
  const inner =
    member &&
    new RegExp(
      `^  (?:(?:override|readonly|async|static|get|set|protected|private) )*\\*?${escaped(member)}(?!\\w)`,
      'gm'
    )
  const wanted = patternOf(find)
  const declared: string[] = []
  const places: Place[] = []
  for (const [path, text] of sources) {
    const outers = extentsOf(text, outer)
    const extents = inner ? outers.flatMap(({ start, end }) => extentsOf(text, inner, start, end)) : outers
    for (const { start, end } of extents) {
      declared.push(path)
      for (const found of text.slice(start, end).matchAll(wanted))
        places.push({ path, start: start + found.index, end: start + found.index + found[0].length })
    }
  }
  const [place] = places
  if (place !== undefined && places.length === 1) return place
  if (declared.length === 0) throw new NotPlantedError(`no file declares ${declaration}`)
  throw new NotPlantedError(
    `${declaration} (${declared.join(', ')}) contains ${places.length} times, not once: ${find}`
  )
}

/** Declarations within a text that the formatter has indented: each ends with the first line that has no more indent than it. */
function extentsOf(
  text: string,
  begin: RegExp,
  from = 0,
  to = text.length
): { readonly start: number; readonly end: number }[] {
  return [...text.slice(from, to).matchAll(begin)].map(({ index }) => {
    const start = from + index
    const indent = /^ */.exec(text.slice(start))![0]
    const next = new RegExp(`\\n${indent}(?=[^\\s)}\\]])|\\n${indent}[)}\\]](?!.*[{(\\[]$).*`, 'gm')
    next.lastIndex = text.indexOf('\n', start) === -1 ? text.length : start
    const found = next.exec(text)
    const end = found === null ? text.length : found.index + found[0].length
    return { start, end: Math.min(end, to) }
  })
}

/** Its words and signs in a row, with any white space and comments between them. */
function patternOf(code: string): RegExp {
  const tokens = code.match(/\w+|[^\w\s]/g) ?? []
  const between = '(?:\\s|//.*\\n|/\\*[^]*?\\*/)*'
  const parts = tokens.map((token, at) => {
    const isGlued = /^\w/.test(token) && /\w$/.test(tokens[at - 1] ?? '')
    return (isGlued ? '\\b' : '') + escaped(token)
  })
  return new RegExp(`(?<![\\w])${parts.join(between)}(?![\\w])`, 'g')
}

const escaped = (text: string): string => text.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')
