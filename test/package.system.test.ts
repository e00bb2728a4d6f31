import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect } from 'chai'

interface Manifest {
  readonly engines: { readonly node: string }
  readonly overrides?: unknown
}
interface Locked {
  readonly version: string
  readonly dev?: boolean
  readonly engines?: { readonly node?: string }
}
interface Packed {
  readonly files: readonly { readonly path: string }[]
}

const read = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T

/** npm's own rules for versions; fastify brings them. */
const { satisfies, minVersion } = createRequire(createRequire(import.meta.url).resolve('fastify'))('semver') as {
  satisfies(version: string, range: string): boolean
  minVersion(range: string): { readonly version: string }
}

describe('the package', function () {
  this.timeout(60_000)
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

  it('has the command, types, docs and examples, and neither tests, benchmarks nor source maps', () => {
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8', stdio: 'pipe' })
    ) as [Packed]
    const paths = packed.files.map(({ path }) => path)
    expect(paths).to.include.members([
      'dist/main.js',
      'dist/index.js',
      'dist/index.d.ts',
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
    expect(paths.filter(path => /^(test|src|examples\/bench)\//.test(path))).to.deep.equal([])
  })

  it('loads the HTTP server with the gateway only, and nothing of either to show the help', () => {
    const loaded = (code: string): string[] => {
      const list = `const { createRequire } = await import('node:module')
        process.stdout.write(JSON.stringify(Object.keys(createRequire(import.meta.url).cache)))`
      const args = ['--input-type=module', '-e', `${code}; ${list}`]
      const paths = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as string[]
      return [...new Set(paths.map(path => path.match(/node_modules\/([^/]+)/)?.[1] ?? ''))]
    }
    const library = loaded(`await import('./dist/index.js')`)
    expect(library).to.include('kafkajs')
    expect(library).to.not.include('fastify').and.to.not.include('pino')
    expect(loaded(`await import('./dist/cli/cli.js')`)).to.include('commander').and.to.not.include('kafkajs')
  })

  it('is built with source maps that carry their sources, which a checkout runs with', () => {
    const { sourcesContent } = read<{ sourcesContent?: readonly string[] }>('dist/index.js.map')
    expect(sourcesContent?.[0]).to.equal(readFileSync('src/index.ts', 'utf8'))
  })
})
