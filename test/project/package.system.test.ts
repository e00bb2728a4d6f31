import { type ExecFileSyncOptions, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import { makePackage, packageOf } from '../../.ci/pack.js'
import { addDeclarations, emitDeclarations } from '../../.ci/prepack.js'
import { bundle } from '../../src/build.mjs'

interface Manifest {
  readonly engines: { readonly node: string }
  readonly overrides?: unknown
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>
}
interface Locked {
  readonly version: string
  readonly dev?: boolean
  readonly engines?: { readonly node?: string }
}
interface SourceMap {
  readonly sources: readonly string[]
  readonly sourcesContent: readonly string[]
}
interface Packed {
  readonly filename: string
}

const read = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T

/** npm's own rules for versions; fastify brings them. */
const { satisfies, minVersion } = createRequire(createRequire(import.meta.url).resolve('fastify'))('semver') as {
  satisfies(version: string, range: string): boolean
  minVersion(range: string): { readonly version: string }
}

describe('the package', function () {
  this.timeout(180_000)
  const manifest = read<Manifest>('package.json')

  it('asks for no newer Node than it says, in any package it brings', () => {
    // Overrides would hide it here, and do not reach those who install the package.
    expect(manifest.overrides).to.equal(undefined)
    const oldest = minVersion(manifest.engines.node).version
    const { packages } = read<{ packages: Record<string, Locked> }>('package-lock.json')
    const tooNew = Object.entries(packages)
      .filter(([, { dev, engines }]) => !dev && engines?.node !== undefined && !satisfies(oldest, engines.node))
      .map(([path, { version, engines }]) => `${path} ${version} wants ${engines?.node}`)
    expect(tooNew).to.deep.equal([])
  })

  it('depends on what its code imports, and on one package to keep another one back', async () => {
    const imported = await bundle('castellan', '.cache/bundled')
    const named = new Set([...imported.map(packageOf), 'light-my-request'])
    expect(Object.keys(manifest.dependencies).sort()).to.deep.equal([...named].sort())
  })

  it('takes later releases of packages, save of those whose inner parts it uses or whose next release does not fit', () => {
    const others = Object.entries(manifest.dependencies).filter(([, range]) => !range.startsWith('^'))
    expect(others.map(([name]) => name)).to.deep.equal([
      '@grpc/grpc-js',
      '@opentelemetry/api',
      'kafkajs',
      'light-my-request',
      'nact'
    ])
  })

  describe('when it is packed', () => {
    const folder = mkdtempSync(join(tmpdir(), 'castellan-package-'))
    const installed = join(folder, 'node_modules/castellan')
    let paths: readonly string[]

    before(() => {
      mkdirSync(installed, { recursive: true })
      const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]
      const [packed] = JSON.parse(execFileSync('npm', pack, { encoding: 'utf8', stdio: 'pipe' })) as [Packed]
      execFileSync('tar', ['-xzf', join(folder, packed.filename), '-C', installed, '--strip-components=1'])
      // `npm pack` does it before it packs. Here the dist that other tests use must stay as it is.
      emitDeclarations()
      addDeclarations(installed)
      const all = readdirSync(installed, { withFileTypes: true, recursive: true }).filter(entry => entry.isFile())
      paths = all.map(({ parentPath, name }) => relative(installed, join(parentPath, name)))
    })
    after(() => rmSync(folder, { recursive: true }))

    it('has the command, types, docs and examples, and neither tests, benchmarks nor source maps', () => {
      expect(paths).to.include.members([
        'dist/main.js',
        'dist/index.js',
        'dist/index.d.ts',
        'dist/apis/kafka-pixy/kafka-pixy.proto',
        'docs/library.md',
        'docs/deploy/Dockerfile',
        'examples/castellan.yaml',
        'examples/reader-actor.ts',
        'examples/testing/order-counter.test.ts',
        'examples/hooks/kafboy-hooks.ts',
        'LICENSE',
        'README.md'
      ])
      expect(paths.filter(path => path.endsWith('.map'))).to.deep.equal([])
      const examples = paths.filter(path => /^examples\/[^/]+\.ts$/.test(path))
      for (const example of examples) {
        const named = [...readFileSync(example, 'utf8').matchAll(/'(\.\/[\w./-]+)'/g)].map(([, name]) => name!)
        const missing = named.filter(name => !paths.includes(`examples/${name.slice(2).replace(/\.js$/, '.ts')}`))
        expect(missing, example).to.deep.equal([])
      }
      expect(paths.filter(path => /^(test|src|examples\/bench|docs\/site)\//.test(path))).to.deep.equal([])
    })

    it('has every file that a link of its pages leads to', () => {
      const isThere = (path: string): boolean => paths.some(one => one === path || one.startsWith(`${path}/`))
      const broken = paths
        .filter(path => path.endsWith('.md'))
        .flatMap(page =>
          [...readFileSync(page, 'utf8').matchAll(/\]\((?![a-z]+:)([^)#\s]+)/g)]
            .map(([, target]) => join(dirname(page), target!))
            .filter(target => !isThere(target.replace(/\/$/, '')))
            .map(target => `${page}: ${target}`)
        )
      expect(broken).to.deep.equal([])
    })

    it('has comments in its types', () => {
      const text = (path: string): string => readFileSync(join(installed, path), 'utf8')
      expect(text('dist/index.d.ts') + text('dist/client.d.ts')).to.match(/\/\*\*/)
    })

    it('has at most 6.6 MB', () => {
      const bytes = paths.reduce((sum, path) => sum + statSync(join(installed, path)).size, 0)
      expect(bytes).to.be.below(6_600_000)
    })

    it('names in its types only packages that it brings', () => {
      const named = paths
        .filter(path => path.endsWith('.d.ts'))
        .flatMap(path => [
          ...readFileSync(join(installed, path), 'utf8').matchAll(/(?:\bfrom\s+|import\()['"]([^.'"][^'"]*)['"]/g)
        ])
        .map(([, specifier]) => specifier!.match(/^(@[^/]+\/)?[^/]+/)![0])
      const brought = ['castellan', ...Object.keys(manifest.dependencies)]
      const missing = new Set(named.filter(name => !name.startsWith('node:') && !brought.includes(name)))
      expect([...missing]).to.deep.equal([])
      expect(manifest.peerDependenciesMeta['@types/node']).to.deep.equal({ optional: true })
    })

    // Its dependencies have the version that the lock file says; of them the types are needed only.
    const strict = {
      target: 'es2023',
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      exactOptionalPropertyTypes: true
    }
    const consumers = {
      'nodenext, with the types of Node': { module: 'nodenext', types: ['node'] },
      'node16, without them': { module: 'node16', types: [] },
      'a bundler': { module: 'esnext', moduleResolution: 'bundler', types: ['node'] }
    }
    describe('compiles in a strict program that checks its libraries, for', () => {
      before(() => {
        installTypesOfDependencies(folder)
        writeFileSync(join(folder, 'program.mts'), PROGRAM)
      })
      for (const [name, options] of Object.entries(consumers)) {
        it(name, () => compile(folder, { ...strict, ...options }))
      }
    })

    describe('beside castellan-client and castellan-testing, which are made of the same sources', () => {
      const alone = join(folder, 'alone')
      const folderOf = (name: string): string => join(alone, 'node_modules', name)

      before(async () => {
        for (const name of ['castellan-client', 'castellan-testing'] as const) {
          mkdirSync(folderOf(name), { recursive: true })
          await makePackage(name, folderOf(name))
        }
        for (const name of ['@types/node', 'undici-types'])
          cpSync(join('node_modules', name), folderOf(name), { recursive: true, dereference: true })
      })

      it('is what has HTTP and schemas: they depend on less', () => {
        const dependencies = (name: string) =>
          Object.keys(read<Manifest>(join(folderOf(name), 'package.json')).dependencies)
        const ofBoth = ['@bokuweb/zstd-wasm', '@node-rs/crc32', 'lz4-napi']
        expect(dependencies('castellan-testing')).to.deep.equal(ofBoth)
        expect(dependencies('castellan-client')).to.have.members([...ofBoth, 're2js'])
        const { peerDependencies } = read<Manifest>(join(folderOf('castellan-client'), 'package.json'))
        expect(Object.keys(peerDependencies)).to.deep.equal(['prom-client', '@opentelemetry/api', '@types/node'])
      })

      it('leaves them to compile where only the types of Node are installed', () => {
        writeFileSync(join(alone, 'program.mts'), PROGRAM_OF_CLIENT)
        compile(alone, { ...strict, module: 'nodenext', types: ['node'] })
      })

      it('leaves them a page of one screen, a licence, and the licences of what is built in', () => {
        for (const name of ['castellan-client', 'castellan-testing']) {
          const text = (file: string): string => readFileSync(join(folderOf(name), file), 'utf8')
          expect(text('README.md').split('\n').length, name).to.be.below(50)
          expect(text('README.md'), name).to.not.match(/\]\((?!https:)/)
          expect(text('LICENSE')).to.equal(readFileSync('LICENSE', 'utf8'))
          expect(text('dist/licences.txt')).to.include('This package contains zod').and.to.include('Colin McDonnell')
        }
        const licences = readFileSync(join(folderOf('castellan-client'), 'dist/licences.txt'), 'utf8')
        const contained = licences.match(/(?<=^This package contains )[^:]+/gm)
        // denque belongs to nact.
        const ofClient = ['denque', 'fastest-levenshtein', 'kafkajs', 'lru-cache', 'nact', 'snappyjs', 'zod']
        expect(contained).to.deep.equal(ofClient)
      })

      it('leaves what a user writes at first to compile, and to do what it says', () => {
        cpSync('test/project/first-program.node-test.ts', join(alone, 'first-program.mts'))
        const emitting = { ...strict, module: 'nodenext', types: ['node'], noEmit: false }
        compile(alone, emitting, 'first-program.mts')
        for (const name of ['castellan-client', 'castellan-testing'])
          for (const brought of Object.keys(read<Manifest>(join(folderOf(name), 'package.json')).dependencies))
            if (!existsSync(folderOf(brought))) linkPackage(brought, folderOf(brought))
        run(process.execPath, ['--test', 'first-program.mjs'], {
          cwd: alone,
          env: { ...process.env, NODE_OPTIONS: '' }
        })
      })
    })
  })

  const GATEWAY_ONLY = ['fastify', 'pino', 'ws', '@grpc/grpc-js', '@grpc/proto-loader', 'yaml']

  it('loads with its main entry no HTTP, and no formats of configuration files', () => {
    const loaded = loadedBy('-e', `await import('./dist/index.js')`)
    expect(loaded).to.include('kafkajs').and.to.include('zod')
    expect(GATEWAY_ONLY.filter(name => loaded.has(name))).to.deep.equal([])
  })

  it('loads hardly anything with the entry for clients', () => {
    const loaded = loadedBy('-e', `await import('./dist/client.js')`)
    expect([...loaded].filter(name => !name.startsWith('src/'))).to.have.members([
      'nact',
      'denque',
      'fastest-levenshtein'
    ])
    const own = [...loaded].filter(name => name.startsWith('src/'))
    expect(own.length).to.be.below(25)
    expect(own.filter(name => /^src\/(apis|http|server|consumer|producer|embedded-broker)\//.test(name))).to.deep.equal(
      []
    )
  })

  it('loads the embedded broker, and no part of a client or gateway, with the entry for tests', () => {
    const loaded = [...loadedBy('-e', `await import('./dist/testing.js')`)]
    expect(loaded).to.include('src/embedded-broker/start-embedded-cluster.ts').and.to.not.include('kafkajs')
    expect(loaded.filter(name => /^src\/(?!testing|core|kafka|embedded-broker)/.test(name))).to.deep.equal([])
  })

  it('loads what reads and writes when a client is opened, and neither APIs nor the embedded broker', () => {
    const code = `const { openCastellan } = await import('./dist/client.js')
      await (await openCastellan({ brokers: '127.0.0.1:1' })).close({ timeoutMs: 0 })`
    const loaded = loadedBy('-e', code)
    expect(loaded).to.include('kafkajs').and.to.include('src/router/routing/router.ts')
    expect([...loaded].filter(name => /^src\/(apis|http|embedded-broker|cli)\//.test(name))).to.deep.equal([])
    expect([...GATEWAY_ONLY, 'prom-client'].filter(name => loaded.has(name))).to.deep.equal([])
  })

  it('loads neither gRPC, websockets nor formats of configuration files to serve without them', async () => {
    const loaded = await loadedByServing()
    expect(loaded).to.include('fastify').and.to.include('src/apis/arion/plugin.ts')
    const idle = GATEWAY_ONLY.filter(name => name !== 'fastify' && name !== 'pino')
    expect(idle.filter(name => loaded.has(name))).to.deep.equal([])
  })

  it('loads the command line only to show the help', () => {
    const loaded = loadedBy('-e', `process.argv = ['node', 'castellan', '--help']; await import('./dist/main.js')`)
    expect(loaded).to.include('commander').and.to.not.include('kafkajs')
  })

  it('is built with source maps that carry their sources, which a checkout runs with', () => {
    const { sources, sourcesContent } = read<SourceMap>('dist/main.js.map')
    expect(sourcesContent[sources.indexOf('../src/main.ts')]).to.equal(readFileSync('src/main.ts', 'utf8'))
  })
})

/** Names something of every entry, and uses the types that programs meet first. */
const PROGRAM = `
import { KafkaGateway, loadConfig, startApp, startDelivery, startRouter } from 'castellan'
import { askRouter, openCastellan, type MetricsLogger, type RecordOutcome } from 'castellan/client'
import { defineKafboyHooks } from 'castellan/kafboy'
import { type Fault, startEmbeddedCluster } from 'castellan/testing'

export const metrics: MetricsLogger = { count() {}, time() {}, gauge() {} }
export const hooks = defineKafboyHooks({ editJson: () => ({ status: 200, body: '' }) })
export const parts = { KafkaGateway, loadConfig, startApp, startDelivery, startRouter }

const cluster = await startEmbeddedCluster()
export const fault: Fault = cluster.faults.add({ api: 'Produce' }, { type: 'dropResponse' })
const castellan = await openCastellan({ brokers: cluster.bootstrap, metrics })
for await (const { value } of castellan.read('orders')) if (value !== null) value.toString('utf8')
export const outcomes: readonly RecordOutcome[] = await castellan.produce({ topic: 'orders', key: 'ann', value: 'x' })
const topicPartition = { topic: 'orders', partition: 0 }
const result = await askRouter(castellan.router.ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
export const offset: number = result.type === 'success' ? result.offset : -1
`

/** Uses what the packages have in place of types of zod, prom-client and OpenTelemetry. */
const PROGRAM_OF_CLIENT = `
import { createPrometheusMetrics, openCastellan, PrometheusMetricsLogger, type RouterSettings, type WalSettings } from 'castellan-client'
import { startEmbeddedCluster } from 'castellan-testing'

const cluster = await startEmbeddedCluster()
const { registry } = createPrometheusMetrics()
const wal: Partial<WalSettings> = { directory: 'wal', timestamps: 'sent', fsyncIntervalMs: 5 }
// @ts-expect-error it is a number
export const wrong: Partial<WalSettings> = { maxBytes: 'all' }
export const timeOf = ({ requestTimeoutMs }: RouterSettings): number => requestTimeoutMs
const castellan = await openCastellan({ brokers: cluster.bootstrap, wal, metrics: new PrometheusMetricsLogger(registry) })
for await (const { value } of castellan.read('orders')) if (value !== null) value.toString('utf8')
export const text: string = await registry.metrics()
`

function compile(folder: string, compilerOptions: object, program = 'program.mts'): void {
  const [include, config] = [[program], join(folder, 'tsconfig.json')]
  writeFileSync(config, JSON.stringify({ compilerOptions, include }))
  run(resolve('node_modules/.bin/tsc'), ['-p', folder], {})
}

/** A failure is told with what the program has printed. */
function run(program: string, args: readonly string[], options: ExecFileSyncOptions): void {
  try {
    execFileSync(program, args, { ...options, encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    expect.fail((error as { stdout: string }).stdout)
  }
}

function linkPackage(name: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(resolve('node_modules', name), path)
}

/** As `npm install` does it, without what only runs. */
function installTypesOfDependencies(folder: string): void {
  const isOfTypes = (path: string): boolean =>
    statSync(path).isDirectory() || /(\.d\.[cm]?ts|package\.json)$/.test(path)
  for (const [path, { dev }] of Object.entries(
    read<{ packages: Record<string, Locked> }>('package-lock.json').packages
  )) {
    const isInstalled = path.startsWith('node_modules/') && !dev && existsSync(path)
    if (isInstalled) cpSync(path, join(folder, path), { recursive: true, dereference: true, filter: isOfTypes })
  }
}

/** Writes the address of every module that is loaded, and at the exit the paths of all CommonJS modules. */
const REPORTER = `
import { appendFileSync } from 'node:fs'
import { createRequire, register } from 'node:module'
const write = lines => appendFileSync(process.env.LOADED, lines.join('\\n') + '\\n')
const hook = \`import { appendFileSync } from 'node:fs'
  export const load = (url, context, next) => (appendFileSync(process.env.LOADED, url + '\\\\n'), next(url, context))\`
register('data:text/javascript,' + encodeURIComponent(hook))
process.on('exit', () => write(Object.keys(createRequire(import.meta.url).cache)))
`

interface Reporter {
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** Packages by their name, and the sources of our files: \`src/index.ts\`. */
  loaded(): ReadonlySet<string>
  remove(): void
}

function createReporter(): Reporter {
  const folder = mkdtempSync(join(tmpdir(), 'castellan-loaded-'))
  const [script, list] = [join(folder, 'reporter.mjs'), join(folder, 'list')]
  writeFileSync(script, REPORTER)
  return {
    args: ['--no-warnings', '--import', pathToFileURL(script).href, '--input-type=module'],
    env: { ...process.env, LOADED: list, NODE_OPTIONS: '' },
    loaded: () => {
      const name = /node_modules\/((?:@[^/]+\/)?[^/\n]+)|\/(dist\/[^\n]+)$/
      const names = readFileSync(list, 'utf8')
        .split('\n')
        .map(line => line.match(name))
      return new Set(names.flatMap(match => match?.[1] ?? (match?.[2] === undefined ? [] : sourcesOf(match[2]))))
    },
    remove: () => rmSync(folder, { recursive: true })
  }
}

/** The sources of a built file, as \`src/index.ts\`. */
const sourcesOf = (file: string): readonly string[] =>
  read<SourceMap>(`${file}.map`).sources.map(source => source.replace('../', ''))

/** What a program of these arguments of Node loads. */
function loadedBy(...args: readonly string[]): ReadonlySet<string> {
  const { args: first, env, loaded, remove } = createReporter()
  try {
    execFileSync(process.execPath, [...first, ...args], { env, stdio: 'pipe' })
    return loaded()
  } finally {
    remove()
  }
}

/** What \`castellan serve\` loads until it is ready, without any setting but its ports. */
async function loadedByServing(): Promise<ReadonlySet<string>> {
  const { args, env, loaded, remove } = createReporter()
  const directory = mkdtempSync(join(tmpdir(), 'castellan-serve-'))
  const ports = ['--port', '0', '--management-port', '0', '--embedded-port', '0']
  const child = spawn(process.execPath, [...args.slice(0, 3), resolve('dist/main.js'), 'serve', ...ports], {
    env,
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  try {
    for await (const line of child.stdout.setEncoding('utf8')) if (String(line).includes('/ready')) break
    child.kill('SIGTERM')
    await once(child, 'exit')
    return loaded()
  } finally {
    child.kill('SIGKILL')
    remove()
    rmSync(directory, { recursive: true })
  }
}
