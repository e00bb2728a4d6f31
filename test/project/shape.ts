/**
 * `npm run shape`: the shape of the sources, counted by their syntax. It judges nothing: a figure before a change and one after it
 * say whether there are fewer things to know. `npm run shape -- FOLDER` counts another checkout, whose tsconfig.json is read.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { type Node, type SourceFile, SyntaxKind } from 'typescript/unstable/ast'
import {
  isClassDeclaration,
  isConstructorDeclaration,
  isExpressionWithTypeArguments,
  isIdentifier,
  isPropertyDeclaration,
  isTypeReferenceNode,
  isVariableStatement
} from 'typescript/unstable/ast/is'
import { API, type Project } from 'typescript/unstable/sync'

/** Above one of them a class is listed. */
const LARGE_LINES = 300
const LARGE_FIELDS = 20
/** Names of types that are listed. */
const MOST_NAMED = 20

const FUNCTIONS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor
])
const TYPES: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.InterfaceDeclaration,
  SyntaxKind.TypeAliasDeclaration,
  SyntaxKind.ClassDeclaration
])
const SUMS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.BinaryExpression,
  SyntaxKind.PrefixUnaryExpression,
  SyntaxKind.ParenthesizedExpression,
  SyntaxKind.PlusToken,
  SyntaxKind.MinusToken,
  SyntaxKind.AsteriskToken,
  SyntaxKind.AsteriskAsteriskToken,
  SyntaxKind.SlashToken,
  SyntaxKind.Identifier
])

interface LargeClass {
  readonly name: string
  readonly at: string
  readonly lines: number
  readonly fields: number
}

/** What is counted of a tree. */
class Shape {
  lines = 0
  files = 0
  picks = 0
  constants = 0
  readonly functions: number[] = []
  readonly large: LargeClass[] = []
  /** By name of a type, the files that declare it. */
  readonly #types = new Map<string, Set<string>>()

  /** Most files first. */
  get typesOfSeveralFiles(): readonly (readonly [name: string, files: number])[] {
    const all = [...this.#types].map(([name, files]) => [name, files.size] as const)
    return all.filter(([, files]) => files > 1).sort((one, other) => other[1] - one[1])
  }

  add(file: SourceFile, path: string): void {
    this.files++
    this.lines += file.text.split('\n').length - 1
    this.constants += file.statements.filter(isVariableStatement).reduce((sum, { declarationList }) => {
      const { declarations } = declarationList
      return sum + declarations.filter(({ initializer }) => initializer !== undefined && isNumber(initializer)).length
    }, 0)
    const linesOf = linesIn(file)
    const visit = (node: Node): void => {
      if (FUNCTIONS.has(node.kind) && 'body' in node && node.body !== undefined) this.functions.push(linesOf(node))
      if (TYPES.has(node.kind)) this.#addType(node, path)
      if (isClassDeclaration(node)) this.#addClass(node, linesOf(node), path)
      if (isPick(node)) this.picks++
      node.forEachChild(visit)
    }
    visit(file)
  }

  #addType(node: Node, path: string): void {
    const { name } = node as Node & { readonly name?: { readonly text: string } }
    if (name === undefined) return
    const files = this.#types.get(name.text) ?? new Set()
    this.#types.set(name.text, files.add(path))
  }

  #addClass(
    node: Node & { readonly name?: unknown; readonly members: readonly Node[] },
    lines: number,
    at: string
  ): void {
    const inConstructor = node.members.filter(isConstructorDeclaration).flatMap(({ parameters }) => [...parameters])
    const fields =
      node.members.filter(isPropertyDeclaration).length +
      inConstructor.filter(({ modifiers }) => modifiers !== undefined && modifiers.length > 0).length
    const { name } = node as { readonly name?: { readonly text: string } }
    if (lines > LARGE_LINES || fields > LARGE_FIELDS) this.large.push({ name: name?.text ?? '', at, lines, fields })
  }
}

/** `Pick<One, 'a'>`, as a type or behind `extends`. */
function isPick(node: Node): boolean {
  if (isTypeReferenceNode(node)) return isIdentifier(node.typeName) && node.typeName.text === 'Pick'
  return isExpressionWithTypeArguments(node) && isIdentifier(node.expression) && node.expression.text === 'Pick'
}

/** Lines from the first character of a node, without the comment in front of it, to its last one. */
function linesIn(file: SourceFile): (node: Node) => number {
  const starts = [0, ...Array.from(file.text.matchAll(/\n/g), ({ index }) => index + 1)]
  const lineAt = (offset: number): number => {
    let [low, high] = [0, starts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (starts[middle]! <= offset) low = middle + 1
      else high = middle
    }
    return low
  }
  return node => lineAt(node.end - 1) - lineAt(node.getStart(file)) + 1
}

/** `7`, `-1`, `16 * MIB`, `2 ** 31 - 1` */
function isNumber(node: Node): boolean {
  let hasNumber = false
  const isOfNumbers = (part: Node): boolean => {
    if (part.kind === SyntaxKind.NumericLiteral || part.kind === SyntaxKind.BigIntLiteral) hasNumber = true
    else if (!SUMS.has(part.kind)) return false
    let isAll = true
    part.forEachChild(child => {
      isAll &&= isOfNumbers(child)
    })
    return isAll
  }
  return isOfNumbers(node) && hasNumber
}

function* sourcesIn(folder: string): Iterable<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* sourcesIn(path)
    else if (entry.name.endsWith('.ts')) yield path
  }
}

/** @param root of a checkout */
function shapeOf(root: string, folder: string): Shape {
  const api = new API({ cwd: root })
  try {
    const projects: Project[] = ['tsconfig.json', 'src/http/page/tsconfig.json']
      .map(name => join(root, name))
      .filter(existsSync)
      .flatMap(openProject => [...api.updateSnapshot({ openProject }).getProjects()])
    const shape = new Shape()
    for (const path of sourcesIn(join(root, folder))) {
      const file = projects.map(({ program }) => program.getSourceFile(path)).find(found => found !== undefined)
      // Clients of the tests are generated, and belong to no project.
      if (file !== undefined) shape.add(file, relative(root, path))
    }
    return shape
  } finally {
    api.close()
  }
}

/** @param share 0.5: the median */
const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.floor(share * (sorted.length - 1))] ?? 0

function* linesAbout(folder: string, shape: Shape): Iterable<string> {
  const { lines, files, picks, constants, large, typesOfSeveralFiles: types } = shape
  const sizes = [...shape.functions].sort((one, other) => one - other)
  const [median, p90, p99, max] = [0.5, 0.9, 0.99, 1].map(share => quantile(sizes, share))
  yield `${folder}: ${lines} lines in ${files} files`
  yield `  functions ${sizes.length}: median ${median} lines, p90 ${p90}, p99 ${p99}, max ${max}`
  yield `  classes above ${LARGE_LINES} lines or ${LARGE_FIELDS} fields: ${large.length}`
  for (const one of [...large].sort((one, other) => other.lines - one.lines))
    yield `    ${one.name}: ${one.lines} lines, ${one.fields} fields (${one.at})`
  yield `  type names declared in several files: ${types.length} (${types
    .slice(0, MOST_NAMED)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')}, …)`
  yield `  uses of Pick: ${picks}`
  yield `  numeric constants of modules: ${constants}`
}

const root = resolve(process.argv[2] ?? '.')
for (const folder of ['src', 'test'])
  process.stdout.write(`${[...linesAbout(folder, shapeOf(root, folder))].join('\n')}\n`)
