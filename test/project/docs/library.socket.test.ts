import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'

/** The pages of the library. */
const text = ['library.md', 'reading.md', 'router.md', 'embedded-broker.md']
  .map(name => readFileSync(`docs/${name}`, 'utf8'))
  .join('\n')
const isOfPrograms = ({ name, parentPath }: { name: string; parentPath: string }): boolean =>
  parentPath.endsWith('router/messages') || name.startsWith('program-')
const source = readdirSync('src', { withFileTypes: true, recursive: true })
  .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
  // What programs use comes first: other rooms have interfaces of the same name.
  .sort((a, b) => Number(isOfPrograms(b)) - Number(isOfPrograms(a)))
  .map(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
  .join('\n')

/** `### FetchData` and what follows it, up to the next heading. */
const sections = new Map(
  [...text.matchAll(/^### (\w+)\n([\s\S]*?)(?=^#|(?![\s\S]))/gm)].map(match => [match[1]!, match[2]!])
)

/** The two first cells of each row of a section's table. */
const rowsOf = (name: string): [string, string][] =>
  [...sections.get(name)!.matchAll(/^\| `([^`]+)` \| (?!further fields)(.*?) \|/gm)].map(match => [
    match[1]!,
    match[2]!
  ])

const namesIn = (cell: string): string[] => [...cell.matchAll(/`(\w+)`/g)].map(match => match[1]!)

interface Declared {
  readonly own: readonly string[]
  /** The interface that it extends. */
  readonly extended: string | undefined
}

/** Members of an interface, nested ones left out. */
function declarationOf(name: string): Declared | undefined {
  const found = source.match(new RegExp(`^(?:export )?interface ${name}\\b([^{]*)\\{(?:\\}|\\n([\\s\\S]*?)^\\})`, 'm'))
  if (!found) return undefined
  const [, head = '', body = ''] = found
  const own = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(match => match[1]!)
  return { own, extended: head.match(/extends (\w+)\s*$/)?.[1] }
}

/** The members of `RecordContent` stand in the tables of those that extend it: it has no section. */
function fieldsOf(name: string): string[] | undefined {
  const found = declarationOf(name)
  return found && [...found.own, ...(found.extended === 'RecordContent' ? declarationOf('RecordContent')!.own : [])]
}

/** Variants of a union: their `type` and further fields. */
function variantsOf(name: string): [string, string[]][] | undefined {
  const body = source.match(new RegExp(`^export type ${name} =([\\s\\S]*?)(?=^export |^interface )`, 'm'))?.[1]
  if (body === undefined) return undefined
  return [...body.matchAll(/readonly type: '(\w+)'([^{}]*)/g)].map(([, type, rest]) => [
    type!,
    [...rest!.matchAll(/readonly (\w+)\??:/g)].map(match => match[1]!)
  ])
}

describe('the pages of the library', function () {
  this.timeout(120_000)

  it('names every field of every interface it describes, and no other', () => {
    const interfaces = [...sections.keys()].filter(name => fieldsOf(name) !== undefined)
    expect(interfaces.length).to.be.above(20)
    for (const name of interfaces.filter(name => rowsOf(name).length > 0)) {
      const listed = rowsOf(name).map(([field]) => field)
      // `type` tells requests apart: it stands above the table.
      const declared = fieldsOf(name)!.filter(field => listed.includes('type') || field !== 'type')
      expect(listed, name).to.have.members(declared)
    }
  })

  it('names every variant of every result with its fields, and no other', () => {
    const unions = [...sections.keys()].filter(name => fieldsOf(name) === undefined)
    expect(unions.length).to.be.above(7)
    for (const name of unions) {
      const declared = variantsOf(name)!
      expect(declared, name).to.not.equal(undefined)
      for (const [type, fields] of rowsOf(name).map(([type, cell]) => [type, namesIn(cell)] as const)) {
        const variant = declared.find(([declaredType]) => declaredType === type)
        expect(variant?.[1] ?? (type === 'failed' ? [] : undefined), `${name} ${type}`).to.have.members(fields)
      }
      const listed = rowsOf(name).map(([type]) => type)
      for (const [type] of declared) expect(listed, name).to.include(type)
    }
  })

  it('describes every message and result of the Router', () => {
    const [book] = source.match(/^export interface Operations \{[\s\S]*?^\}/m)!
    const operations = [...book.matchAll(/\{ request: (\w+); result: (\w+) \}$/gm)]
    expect(operations.length).to.be.above(5)
    for (const [, request, result] of operations) expect([...sections.keys()]).to.include.members([request, result])
  })

  it('shows programs that compile, and the test that is run', () => {
    const programs = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(match => match[1]!)
    expect(programs.length).to.be.above(9)
    expect(programs).to.include(readFileSync('examples/testing/order-counter.test.ts', 'utf8'))
    compile(programs)
  })
})

describe('docs/start/kafkajs.md', function () {
  this.timeout(120_000)
  const guide = readFileSync('docs/start/kafkajs.md', 'utf8')
  const types = readFileSync('node_modules/kafkajs/types/index.d.ts', 'utf8')
  /** The names in the first cells of tables. */
  const told = new Set([...guide.matchAll(/^\| (.*?) \| /gm)].flatMap(([, cell]) => cell!.match(/\w+/g) ?? []))

  /** Names of the members of a type of kafkajs. */
  function membersOf(name: string): string[] {
    const pattern = new RegExp(`^(?:export )?(?:interface|type|class) ${name}\\b[^{]*\\{\\n([\\s\\S]*?)^\\}`, 'm')
    const [, body] = types.match(pattern)!
    const members = [...body!.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member]) => member!)
    expect(members).to.have.length.above(1)
    return members
  }

  for (const name of ['Sender', 'Producer', 'Consumer', 'Admin', 'Transaction']) {
    it(`names every call of kafkajs's ${name}`, () => {
      expect(membersOf(name).filter(member => !told.has(member))).to.deep.equal([])
    })
  }

  for (const name of [
    ...['KafkaConfig', 'ProducerConfig', 'Message', 'ConsumerConfig', 'ConsumerRunConfig', 'EachBatchPayload', 'Batch']
  ]) {
    it(`names every field of kafkajs's ${name}`, () => {
      expect(membersOf(name).filter(member => !told.has(member))).to.deep.equal([])
    })
  }

  it('shows a program that compiles', () => {
    const programs = [...guide.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, program]) => program!)
    expect(programs).to.have.length(1)
    compile(programs)
  })
})

/** Each program is a module of its own that uses the library. */
function compile(programs: readonly string[]): void {
  mkdirSync('node_modules/.cache', { recursive: true })
  const folder = mkdtempSync('node_modules/.cache/library-')
  try {
    programs.forEach((program, index) => {
      writeFileSync(join(folder, `${index}.mts`), program)
    })
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: resolve('tsconfig.json'),
        compilerOptions: {
          paths: {
            castellan: [resolve('src/index.ts')],
            'castellan/client': [resolve('src/client-with-schemas.ts')],
            'castellan/testing': [resolve('src/testing.ts')]
          },
          typeRoots: [resolve('node_modules/@types')]
        },
        include: ['*.mts', resolve('src/kafka/untyped-packages.d.ts'), resolve('src/core/actor/untyped-nact.d.ts')]
      })
    )
    execFileSync('node_modules/.bin/tsc', ['-p', folder], { encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    expect.fail((error as { stdout: string }).stdout)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
