import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'

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
    expect(version).to.equal(own[name])
  })
})
