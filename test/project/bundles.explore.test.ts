import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { build } from 'esbuild'
import { makePackage, packFolder } from '../../.ci/pack.js'
import { emitDeclarations } from '../../.ci/prepack.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'

/** As library.md names them. */
const EXTERNAL = ['@node-rs/crc32', 'lz4-napi', '@bokuweb/zstd-wasm', 're2js']
const PROGRAM = `
const { openCastellan } = await import('castellan-client')
const { BROKERS: brokers, CODEC: compression } = process.env
const castellan = await openCastellan({ brokers, delivery: { compression } })
const [{ offset }] = await castellan.produceOrThrow({ topic: compression, value: 'x'.repeat(1_000) })
const seen = []
for await (const message of castellan.consume({ group: 'g', topics: compression, start: 'earliest' })) {
  message.ack()
  seen.push(message.value.length)
  break
}
await castellan.close()
console.log(JSON.stringify({ offset, seen }))`

describe('a bundle of castellan-client, with the packages outside that the docs name', function () {
  this.timeout(300_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-bundles-'))
  const source = join(folder, 'program.mjs')
  const wrapped = join(folder, 'wrapped.mjs')

  before(async () => {
    emitDeclarations()
    mkdirSync(join(folder, 'package'))
    await makePackage('castellan-client', join(folder, 'package'))
    writeFileSync(join(folder, 'package.json'), '{"private":true}')
    const archive = packFolder(join(folder, 'package'), folder)
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--silent', archive, 'webpack@5'], { cwd: folder })
    writeFileSync(source, PROGRAM)
    writeFileSync(wrapped, `void (async () => {${PROGRAM}})()`)
  })
  after(() => rmSync(folder, { recursive: true }))

  const withWebpack = (outfile: string): void => {
    const config = {
      ...{ mode: 'production', target: 'node20', entry: wrapped },
      output: { path: folder, filename: outfile },
      externals: [...EXTERNAL, 'prom-client', '@opentelemetry/api'].map(name => ({ [name]: `commonjs ${name}` }))
    }
    const script = `require('webpack')(${JSON.stringify(config)}, (error, stats) => {
      if (error || stats.hasErrors()) throw error ?? new Error(stats.toString())
    })`
    execFileSync(process.execPath, ['-e', script], { cwd: folder })
  }
  const withEsbuild = (format: 'esm' | 'cjs', entry: string, outfile: string): Promise<unknown> =>
    build({
      ...{ entryPoints: [entry], outfile: join(folder, outfile), bundle: true, platform: 'node', format },
      ...{ external: [...EXTERNAL, 'prom-client', '@opentelemetry/api'], logLevel: 'silent' }
    })
  const BUNDLERS: Readonly<Record<string, readonly [file: string, make: (file: string) => unknown]>> = {
    'esbuild as an ES module': ['bundle.mjs', file => withEsbuild('esm', source, file)],
    'esbuild as CommonJS': ['bundle.cjs', file => withEsbuild('cjs', wrapped, file)],
    webpack: ['packed.cjs', withWebpack]
  }

  for (const [bundler, [file, make]] of Object.entries(BUNDLERS))
    it(`by ${bundler} connects, produces and consumes with each codec`, async () => {
      await make(file)
      const cluster = await startEmbeddedCluster()
      try {
        for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
          cluster.createTopic(codec)
          const env = { ...process.env, BROKERS: cluster.bootstrap, CODEC: codec }
          const child = spawn(process.execPath, [join(folder, file)], { env, stdio: ['ignore', 'pipe', 'inherit'] })
          let told = ''
          child.stdout.on('data', chunk => (told += chunk))
          expect(await once(child, 'close'), codec).to.deep.equal([0, null])
          expect(JSON.parse(told), codec).to.deep.equal({ offset: 0, seen: [1_000] })
        }
      } finally {
        await cluster.close()
      }
    })
})
