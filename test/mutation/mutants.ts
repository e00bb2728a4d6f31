import { readFile } from 'node:fs/promises'
import { type File, Instrumenter, type InstrumentResult } from '@stryker-mutator/instrumenter'
import { randomFrom } from '../support/mutate.js'

/** A mutant where it is in its file. */
export interface Mutant {
  /** Holds until the next instrumentation. */
  readonly id: string
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly kind: string
  readonly original: string
  readonly replacement: string
  readonly range: { readonly start: Position; readonly end: Position }
  /** The file as it is with this mutant. */
  readonly content: string
}

export interface Position {
  /** From 0. */
  readonly line: number
  readonly column: number
}

/** The mutants of these files in the order that the seed draws. */
export async function findMutants(paths: readonly string[], seed: number): Promise<Mutant[]> {
  const contents = await readAll(paths)
  const all = found(await mutate(contents, () => true), contents)
  return shuffled(
    all.filter(mutant => !isProse(mutant)),
    seed
  )
}

/**
 * The files with these mutants in them, each behind a switch: the environment variable `__STRYKER_ACTIVE_MUTANT__` holds
 * the id of the one that is in force. Only these are put in, since thousands of switches would slow the tests down.
 */
export async function instrument(chosen: readonly Mutant[]): Promise<{ files: readonly File[]; mutants: Mutant[] }> {
  const keys = new Set(chosen.map(keyOf))
  const contents = await readAll(new Set(chosen.map(({ file }) => file)))
  const rangesIn = (path: string) => chosen.filter(({ file }) => file === path).map(({ range }) => range)
  const result = await mutate(contents, rangesIn)
  return { files: result.files, mutants: found(result, contents).filter(mutant => keys.has(keyOf(mutant))) }
}

async function readAll(paths: Iterable<string>): Promise<Map<string, string>> {
  const contents = new Map<string, string>()
  for (const path of paths) contents.set(path, await readFile(path, 'utf8'))
  return contents
}

async function mutate(
  contents: ReadonlyMap<string, string>,
  mutated: (path: string) => File['mutate']
): Promise<InstrumentResult> {
  const files = [...contents].map(([name, content]) => ({ name, content, mutate: mutated(name) }))
  return new Instrumenter(silent).instrument(files, {
    plugins: null,
    excludedMutations: [],
    ignorers: [{ shouldIgnore: path => (isLogCall(path as BabelPath) ? 'what is written to the log' : undefined) }]
  })
}

function found(result: InstrumentResult, contents: ReadonlyMap<string, string>): Mutant[] {
  return result.mutants
    .filter(mutant => mutant.status !== 'Ignored')
    .map(({ id, fileName, location, mutatorName, replacement = '' }) => {
      const text = contents.get(fileName)!
      const [start, end] = [offsetOf(text, location.start), offsetOf(text, location.end)]
      return {
        id,
        file: fileName,
        line: location.start.line + 1,
        kind: mutatorName,
        original: text.slice(start, end),
        replacement,
        range: location,
        content: text.slice(0, start) + replacement + text.slice(end)
      }
    })
}

const keyOf = ({ file, range, kind, replacement }: Mutant): string => JSON.stringify([file, range, kind, replacement])

function offsetOf(text: string, { line, column }: Position): number {
  let start = 0
  for (let before = 0; before < line; before++) start = text.indexOf('\n', start) + 1
  return start + column
}

/** Text for people has spaces; names, headers and keywords of protocols have none. */
const isProse = ({ kind, original }: Mutant): boolean => kind === 'StringLiteral' && original.includes(' ')

interface BabelPath {
  readonly node: { readonly type: string }
  get(key: string): { toString(): string }
}

const isLogCall = (path: BabelPath): boolean =>
  /^(Optional)?CallExpression$/.test(path.node.type) &&
  /\blog(ger)?\??\.(trace|debug|info|warn|error|fatal)$/.test(path.get('callee').toString())

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = randomFrom(seed)
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random(i + 1)
    ;[result[i], result[j]] = [result[j]!, result[i]!]
  }
  return result
}

const nothing = (): void => {}
const never = (): boolean => false
const silent: ConstructorParameters<typeof Instrumenter>[0] = {
  isTraceEnabled: never,
  isDebugEnabled: never,
  isInfoEnabled: never,
  isWarnEnabled: never,
  isErrorEnabled: never,
  isFatalEnabled: never,
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  fatal: nothing
}
