import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { makePackage, packFolder, type SmallerPackage } from '../../.ci/pack.js'
import { emitDeclarations } from '../../.ci/prepack.js'

describe('the package, installed from the registry with all that it needs', function () {
  this.timeout(300_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-install-'))
  let archive: string

  before(() => {
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]
    const [packed] = JSON.parse(execFileSync('npm', pack, { encoding: 'utf8', stdio: 'pipe' })) as [
      { filename: string }
    ]
    archive = join(folder, packed.filename)
  })
  after(() => rmSync(folder, { recursive: true }))

  for (const [node, npm] of [
    [20, 10],
    [22, 10],
    [24, 11]
  ]) {
    it(`on Node ${node} with npm ${npm} without a warning, and its command runs`, () => {
      const project = join(folder, `node-${node}`)
      mkdirSync(project)
      writeFileSync(join(project, 'package.json'), '{"private":true}')
      const script = `node --version && npm install --no-audit --no-fund ${archive} 2>&1 && node node_modules/castellan/dist/main.js --version`
      const args = ['-y', '-p', `node@${node}`, '-p', `npm@${npm}`, '--', 'sh', '-ec', script]
      const told = execFileSync('npx', args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
      expect(told)
        .to.match(new RegExp(`^v${node}\\.`))
        .and.match(/^\d+\.\d+\.\d+(-dev)?\n$/m)
      // npm 11 names the script of protobufjs, which @grpc/proto-loader brings: it only compares versions, and is not needed.
      const others = told.split('\n').filter(line => !/install-scripts|Unknown (env|user) config|^npm warn$/.test(line))
      expect(told.match(/install-scripts +[\w@/-]+@/g) ?? []).to.have.length.at.most(1)
      expect(others.filter(line => /warn|deprecated/i.test(line))).to.deep.equal([])
    })
  }

  it('is described by a list of its packages (CycloneDX), with the versions of the lock file', () => {
    const text = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev'], { encoding: 'utf8' })
    const list = JSON.parse(text) as { bomFormat: string; components: { name: string; version: string }[] }
    expect(list.bomFormat).to.equal('CycloneDX')
    const { name, version } = list.components.find(({ name }) => name === 'fastify')!
    const own = JSON.parse(execFileSync('npm', ['pkg', 'get', 'dependencies'], { encoding: 'utf8' })) as Record<
      string,
      string
    >
    expect(own[name]).to.equal(`^${version}`)
  })
})

const MB = 1_000_000

/** What `npm install` of the archives installs, in a folder of its own. */
function install(folder: string, archives: readonly string[], ...options: readonly string[]): string {
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}')
  const args = ['install', '--no-audit', '--no-fund', '--silent', ...options, ...archives]
  execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  return folder
}

/** Other runtimes than Node, and how each runs a file of tests. */
const RUNTIMES = { bun: ['test'], deno: ['test', '--no-check', '--allow-all'] }

/** The command of a runtime that this machine has, or that npm can install; `undefined`, and said: there is none. */
function commandOf(runtime: string, folder: string): string | undefined {
  if (spawnSync(runtime, ['--version']).status === 0) return runtime
  spawnSync('npm', ['install', '--no-audit', '--no-fund', '--silent', runtime], { cwd: folder })
  const command = join(folder, 'node_modules/.bin', runtime)
  if (spawnSync(command, ['--version']).status === 0) return command
  console.error(`!!! SKIPPED: ${runtime} is neither installed nor to be had from npm; nothing is tested on it`)
  return undefined
}

const runIn = (folder: string, program: string): unknown =>
  JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: folder, encoding: 'utf8' }))

describe('castellan-client and castellan-testing, installed from the registry', function () {
  this.timeout(300_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-packages-'))
  const archiveOf = async (name: SmallerPackage): Promise<string> => {
    mkdirSync(join(folder, name))
    await makePackage(name, join(folder, name))
    return packFolder(join(folder, name), folder)
  }
  let [client, testing, whole] = ['', '', '']

  before(async () => {
    emitDeclarations()
    client = await archiveOf('castellan-client')
    testing = await archiveOf('castellan-testing')
    whole = packFolder('.', folder)
  })
  after(() => rmSync(folder, { recursive: true }))

  it('are 9 packages and 18 MB at most, where the client alone is installed without what is optional', () => {
    const installed = install(join(folder, 'small'), [client], '--omit=optional')
    const listed = execFileSync('npm', ['ls', '--all', '--parseable'], { cwd: installed, encoding: 'utf8' })
    const packages = listed.trim().split('\n').slice(1)
    const files = readdirSync(join(installed, 'node_modules'), { recursive: true, encoding: 'utf8' })
    const bytes = files.reduce((sum, file) => sum + statSync(join(installed, 'node_modules', file)).size, 0)
    expect(packages.length).to.be.within(5, 9)
    expect(bytes).to.be.within(2 * MB, 18 * MB)
    const codecs = ['gzip', 'snappy', 'zstd'].map(
      codec =>
        `await (await openCastellan({ brokers: '127.0.0.1:1', delivery: { compression: '${codec}' } })).close({ timeoutMs: 0 })`
    )
    const program = `import { createPrometheusMetrics, openCastellan } from 'castellan-client'
      ${codecs.join('\n')}
      try { createPrometheusMetrics() } catch ({ name, code, message }) { console.log(JSON.stringify({ name, code, message })) }`
    expect(runIn(installed, program)).to.deep.equal({
      name: 'ConfigError',
      code: 'invalidConfig',
      message: 'createPrometheusMetrics needs the package prom-client, which is not installed: npm install prom-client'
    })
  })

  for (const [runtime, test] of Object.entries(RUNTIMES))
    it(`do on ${runtime} what a user writes at first`, function () {
      const installed = install(join(folder, runtime), [client, testing])
      const program = join(installed, 'first-program.test.mts')
      cpSync('test/project/first-program.node-test.ts', program)
      const command = commandOf(runtime, installed)
      if (command === undefined) return this.skip()
      const told = spawnSync(command, [...test, program], { cwd: installed, encoding: 'utf8', timeout: 60_000 })
      expect(told.status, told.stdout + told.stderr).to.equal(0)
      expect(told.stdout + told.stderr).to.match(/\b\d\d pass(ed)?\b/)
    })

  it('work beside each other and beside castellan, whose errors have the same code and name and another class', () => {
    const installed = install(join(folder, 'all'), [client, testing, whole])
    const program = `import * as alone from 'castellan-client'
      import * as inWhole from 'castellan/client'
      import { startEmbeddedCluster } from 'castellan-testing'
      const cluster = await startEmbeddedCluster()
      const read = []
      const errors = []
      for (const { openCastellan, ConfigError } of [alone, inWhole]) {
        const castellan = await openCastellan({ brokers: cluster.bootstrap, wal: { directory: 'wal-' + read.length } })
        for (const durability of ['memory', 'disk']) {
          const options = { partitioner: 'murmur2', deadlineMs: 10_000, durability }
          await castellan.produce([{ topic: 'orders', key: 'k', value: 'v' }], options)
        }
        for await (const { offset } of castellan.read('orders', { from: 'earliest' })) if (read.push(offset) % 2 === 0) break
        await castellan.close()
        errors.push(await openCastellan({ broker: '' }).catch(error => error))
        errors.at(-1).isOwn = errors.map(error => error instanceof ConfigError)
      }
      await cluster.close()
      console.log(JSON.stringify({ read, errors: errors.map(({ name, code, isOwn }) => ({ name, code, isOwn })) }))`
    expect(runIn(installed, program)).to.deep.equal({
      read: [0, 1, 0, 1],
      errors: [
        { name: 'ConfigError', code: 'invalidConfig', isOwn: [true] },
        { name: 'ConfigError', code: 'invalidConfig', isOwn: [false, true] }
      ]
    })
  })
})
