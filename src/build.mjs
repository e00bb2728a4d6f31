/**
 * `npm run build`: makes `dist`, without checking types. One file for each entry of the package and
 * for the threads of the durable log and of the schemas, and common files for what they share: hundreds of small modules would take twice
 * the time to start.
 */
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { buildPage, docsTag } from './http/page/build.mjs'

const SOURCES = import.meta.dirname
const ROOT = join(SOURCES, '..')
const define = docsTag(ROOT)

/** The files of `dist` and their sources, of each package that is made of this tree. */
export const ENTRIES = {
  castellan: {
    main: 'main.ts',
    index: 'index.ts',
    client: 'client-with-schemas.ts',
    testing: 'testing.ts',
    kafboy: 'apis/kafboy/hooks/hooks.ts',
    'log-worker': 'producer/log/log-worker.ts',
    'codec-worker': 'schemas/codec-worker.ts'
  },
  'castellan-client': { client: 'client.ts', 'log-worker': 'producer/log/log-worker.ts' },
  'castellan-testing': { testing: 'testing.ts' }
}

/**
 * Makes the JavaScript of a package.
 *
 * @param {keyof typeof ENTRIES} name @param {string} target
 * @param {string[]} [builtIn] packages that become part of it; their licences go to `licences.txt`
 * @returns {Promise<string[]>} what it imports besides Node's own modules, as written: `kafkajs/src/network/connection.js`
 */
export async function bundle(name, target, builtIn = []) {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const brought = Object.keys({ ...dependencies, ...peerDependencies })
  rmSync(target, { recursive: true, force: true })
  const { metafile } = await build({
    entryPoints: Object.fromEntries(Object.entries(ENTRIES[name]).map(([file, source]) => [file, join(SOURCES, source)])),
    outdir: target,
    chunkNames: 'common-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: brought.filter(one => !builtIn.includes(one)),
    sourcemap: true,
    legalComments: 'none',
    metafile: true,
    plugins: [builtInNode, ...(builtIn.includes('zod') ? [zodInParts] : [])],
    define
  })
  const sources = Object.keys(metafile.inputs)
  const contained = new Set(sources.flatMap(source => source.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1] ?? []))
  if (contained.size > 0) writeFileSync(join(target, 'licences.txt'), [...contained].sort().map(licenceOf).join('\n'))
  const files = Object.entries(metafile.outputs).filter(([file]) => file.endsWith('.js'))
  const imports = files.flatMap(([, { imports }]) => imports.filter(({ external }) => external).map(({ path }) => path))
  return [...new Set([...imports, ...requiredIn(target)])].filter(path => !path.startsWith('node:')).sort()
}

/** Lets esbuild leave out what is not used of zod, five sixths of it: it does so for a namespace only. */
const zodInParts = {
  name: 'zod-in-parts',
  /** @param {import('esbuild').PluginBuild} build */
  setup: ({ onLoad }) =>
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(/^import \{ z \} from 'zod'$/m, "import * as z from 'zod'"),
      loader: 'ts'
    }))
}

/** Gives packages of CommonJS that become part of an ES module what they require of Node: there, `require` would throw. */
const builtInNode = {
  name: 'built-in-node',
  /** @param {import('esbuild').PluginBuild} build */
  setup({ onResolve, onLoad }) {
    const namespace = 'node'
    onResolve({ filter: /^[a-z]/ }, ({ path, kind }) => (kind === 'require-call' && isBuiltin(path) ? { path, namespace } : undefined))
    onLoad({ filter: /./, namespace }, ({ path }) => ({ contents: `module.exports = process.getBuiltinModule('${path}')` }))
  }
}

/** @param {string} name of a package that is installed here */
function licenceOf(name) {
  const folder = join(ROOT, 'node_modules', name)
  const file = readdirSync(folder).find(one => /^LICEN[CS]E/i.test(one))
  return `This package contains ${name}:\n\n${readFileSync(join(folder, file), 'utf8')}`
}

/** What is loaded by `createRequire(import.meta.url)('…')` or `loadPackage('…')`: esbuild does not know of it. @param {string} target */
const requiredIn = target =>
  readdirSync(target)
    .filter(file => file.endsWith('.js'))
    .flatMap(file => [...readFileSync(join(target, file), 'utf8').matchAll(/\b(?:createRequire\d*\(import\.meta\.url\)|loadPackage\d*)\(["'`]([@a-z][\w@./-]*)/g)])
    .map(([, path]) => path)

if (argv[1] === fileURLToPath(import.meta.url)) {
  const target = join(ROOT, 'dist')
  await bundle('castellan', target)
  await buildPage(target, define)
  const proto = 'apis/kafka-pixy/kafka-pixy.proto'
  cpSync(join(SOURCES, proto), join(target, proto))
  chmodSync(join(target, 'main.js'), 0o755)
}
