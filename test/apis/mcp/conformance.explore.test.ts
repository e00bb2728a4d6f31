import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { McpGateway, REVISIONS } from './stage.js'

/** It needs Node 22, which comes as a package. */
const PACKAGES = ['@modelcontextprotocol/conformance@0.2.0-alpha.12', 'node@22']
const EXPECTED = 'test/apis/mcp/conformance'

/**
 * The conformance tests of the protocol. Most of their scenarios want a server made for them: those are listed as expected failures.
 * One that passes although it is listed fails the run, as one does that fails and is not.
 */
describe('POST /mcp conforms', function () {
  this.timeout(300_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-conformance-'))
  let gateway: McpGateway
  before(async () => {
    gateway = await McpGateway.open()
    await promisify(execFile)('bash', ['-ec', `npm init -y; npm i --no-audit --no-fund ${PACKAGES.join(' ')}`], {
      cwd: folder
    })
  })
  after(async () => {
    await gateway.close()
    rmSync(folder, { recursive: true })
  })

  for (const revision of REVISIONS)
    it(`to ${revision}, but for scenarios that want what a gateway has not`, async () => {
      const expected = resolve(EXPECTED, `expected-failures-${revision}.yml`)
      const program = 'node_modules/@modelcontextprotocol/conformance/dist/index.js'
      const asked = ['server', '--url', gateway.url, '--requirements', revision, '--expected-failures', expected]
      const { stdout } = await promisify(execFile)('node_modules/.bin/node', [program, ...asked], {
        cwd: folder,
        maxBuffer: 1e8
      }).catch(({ stdout }: { stdout: string }) => Promise.reject(new Error(stdout.slice(-3_000))))
      const passed = [...stdout.matchAll(/^✓ ([\w-]+): (\d+) passed, 0 failed$/gm)].map(([, name]) => name)
      expect(passed).to.include.members(
        revision === '2026-07-28'
          ? [
              'tools-list',
              'http-header-validation',
              'dns-rebinding-protection',
              'input-required-result-unsupported-methods'
            ]
          : ['server-initialize', 'ping', 'tools-list', 'dns-rebinding-protection']
      )
    })
})
