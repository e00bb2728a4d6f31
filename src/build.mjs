/**
 * `npm run build`: makes `dist`, without checking types. One file for each entry of the package, for the process of a
 * worker and for the threads of the durable log and of the schemas, and common files for what they share: hundreds of small modules would
 * take twice the time to start.
 */
import { chmodSync, cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { buildPage, docsTag } from './http/page/build.mjs'

const SOURCES = import.meta.dirname
const TARGET = join(SOURCES, '../dist')
const define = docsTag(join(SOURCES, '..'))

const entries = {
  main: 'main.ts',
  index: 'index.ts',
  client: 'client.ts',
  testing: 'testing.ts',
  kafboy: 'apis/kafboy/hooks/hooks.ts',
  worker: 'cli/worker.ts',
  'log-worker': 'producer/log/log-worker.ts',
  'codec-worker': 'schemas/codec-worker.ts'
}

rmSync(TARGET, { recursive: true, force: true })
await build({
  entryPoints: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(SOURCES, file)])),
  outdir: TARGET,
  chunkNames: 'common-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  sourcemap: true,
  legalComments: 'none',
  define
})
await buildPage(TARGET, define)
const proto = 'apis/kafka-pixy/kafka-pixy.proto'
cpSync(join(SOURCES, proto), join(TARGET, proto))
chmodSync(join(TARGET, 'main.js'), 0o755)
