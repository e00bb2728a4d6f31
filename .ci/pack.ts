/**
 * `npm run pack -- --out FOLDER`: the archives of all packages of this tree. `npm pack` makes that of `castellan` alone.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bundle } from '../src/build.mjs'
import { addDeclarations, filesIn } from './prepack.js'

interface Manifest {
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly [field: string]: unknown
}

/** The packages besides `castellan`, which package.json describes. */
const SMALLER = {
  'castellan-client': {
    description: 'A Kafka client: ordered idempotent writing, reading, groups, a durable log, and a Router for actors',
    keywords: ['kafka', 'client', 'producer', 'consumer', 'actor'],
    entry: 'client'
  },
  'castellan-testing': {
    description: 'A Kafka cluster in the process of your tests, which they can make fail',
    keywords: ['kafka', 'testing', 'embedded', 'fake', 'faults'],
    entry: 'testing'
  }
} as const

export type SmallerPackage = keyof typeof SMALLER

/** Pure JavaScript becomes part of the two smaller packages: to find and read its files would be a third of what opening costs. */
const BUILT_IN = ['zod', 'lru-cache', 'kafkajs', 'nact', 'snappyjs', 'fastest-levenshtein']
/** Loaded only by programs that have them anyway. */
const OPTIONAL_PEERS = ['prom-client', '@opentelemetry/api', '@types/node']

/** Packages that need not be installed, and the declarations in their place. */
const DECLARED_HERE: Readonly<Record<string, string>> = {
  zod: 'zod',
  'prom-client': 'prom-client',
  '@opentelemetry/api': 'opentelemetry'
}

/** `kafkajs/src/network/connection.js` => `kafkajs`. */
export const packageOf = (path: string): string => path.match(/^(@[^/]+\/)?[^/]+/)![0]

/**
 * Makes the folder of a package, with the declarations of its entry, after emitDeclarations of prepack.ts.
 *
 * @throws Error when it imports a package that package.json does not name
 */
export async function makePackage(name: SmallerPackage, folder: string): Promise<void> {
  const { entry, ...described } = SMALLER[name]
  const imported = new Set((await bundle(name, join(folder, 'dist'), BUILT_IN)).map(packageOf))
  const whole = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest
  const ranges: Readonly<Record<string, string>> = { ...whole.dependencies, ...(whole.peerDependencies as object) }
  const unnamed = [...imported].filter(one => ranges[one] === undefined)
  if (unnamed.length > 0) throw new Error(`package.json names no version of ${unnamed.join(', ')}`)
  const peers = OPTIONAL_PEERS.filter(one => imported.has(one) || one.startsWith('@types/'))
  const own = [...imported].filter(one => !peers.includes(one))
  const { version, homepage, bugs, repository, license, type, engines } = whole
  const file = { types: `./dist/${entry}.d.ts`, default: `./dist/${entry}.js` }
  const manifest = {
    name,
    version,
    ...described,
    ...{ homepage, bugs, repository, license, type, engines },
    exports: { '.': file, './package.json': './package.json' },
    types: file.types,
    files: ['dist', '!dist/**/*.map'],
    dependencies: Object.fromEntries(own.map(one => [one, ranges[one]])),
    peerDependencies: Object.fromEntries(peers.map(one => [one, ranges[one]!.replace('~', '^')])),
    peerDependenciesMeta: Object.fromEntries(peers.map(one => [one, { optional: true }]))
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
  cpSync('LICENSE', join(folder, 'LICENSE'))
  cpSync(`docs/packages/${name}.md`, join(folder, 'README.md'))
  addDeclarations(folder)
  declareHere(join(folder, 'dist'))
}

/** Lets the declarations name files of the package in place of packages that need not be installed. */
function declareHere(dist: string): void {
  for (const file of filesIn(dist).filter(name => name.endsWith('.d.ts'))) {
    const text = readFileSync(join(dist, file), 'utf8')
    const changed = text.replace(/(?<=(?:from |import\()['"])[^.'"][^'"]*/g, name => {
      const own = DECLARED_HERE[name]
      if (own === undefined) return name
      cpSync(`.ci/declarations/${own}.d.ts`, join(dist, 'declared', `${own}.d.ts`))
      return relative(dirname(file), join('declared', `${own}.js`)).replace(/^(?!\.)/, './')
    })
    writeFileSync(join(dist, file), changed)
  }
}

/**
 * npm has run `prepack` before the script `pack`: `castellan` is built, and all declarations are emitted.
 *
 * @returns the names of all archives, that of `castellan` first
 */
async function packAll(out: string): Promise<readonly string[]> {
  mkdirSync(out, { recursive: true })
  const archives = [packFolder('.', out)]
  for (const name of Object.keys(SMALLER) as SmallerPackage[]) {
    const folder = join('.cache/packages', name)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    await makePackage(name, folder)
    archives.push(packFolder(folder, out))
  }
  return archives
}

export function packFolder(folder: string, out: string): string {
  const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', resolve(out)]
  const told = execFileSync('npm', pack, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  return join(out, told.trim().split('\n').at(-1)!)
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: 'string', default: '.' } } })
  for (const archive of await packAll(values.out)) console.log(archive)
}
