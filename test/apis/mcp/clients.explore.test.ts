import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { CALLS, McpGateway } from './stage.js'

interface Official {
  /** What has to be installed for it to run. */
  readonly tools: readonly string[]
  /** Installs the client and builds the program of `clients/`. */
  readonly build: string
  readonly run: string
}

/** Official clients in other languages. The one in TypeScript is in the tests that always run. */
const clients: Readonly<Record<string, Official>> = {
  Python: {
    tools: ['python3'],
    build: 'python3 -m venv py; py/bin/pip install -q mcp==2.3.0',
    run: 'py/bin/python client.py'
  },
  Go: {
    tools: ['go'],
    build: 'go mod init client; go get github.com/modelcontextprotocol/go-sdk/mcp@v1.8.0; go build -o client client.go',
    run: './client'
  }
}

/** @throws with the end of what was printed */
const bash = async (script: string, cwd: string): Promise<string> => {
  const ran = promisify(execFile)('bash', ['-ec', `{ ${script}; } 2>&1`], { cwd, maxBuffer: 1e8 })
  const { stdout } = await ran.catch(({ stdout }: { stdout: string }) =>
    Promise.reject(new Error(stdout.slice(-2_000)))
  )
  return stdout
}

describe('The official clients of agents', function () {
  this.timeout(300_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-mcp-'))
  let gateway: McpGateway
  before(async () => {
    gateway = await McpGateway.open()
    gateway.cluster.createTopic('orders', { partitions: 2 })
    await gateway.write('orders', [{ key: 'k1', value: 'one' }])
  })
  after(async () => {
    await gateway.close()
    rmSync(folder, { recursive: true })
  })

  for (const [language, { tools, build, run }] of Object.entries(clients))
    it(`in ${language} list and call every tool, in the newest revision and in 2025-11-25`, async function () {
      const found = await bash(`for tool in ${tools.join(' ')}; do command -v $tool || echo no $tool; done`, folder)
      const missing = found.match(/^no .*/gm)
      if (missing !== null) {
        console.log(`      skipped: ${missing.join(', ')} on this machine`)
        this.skip()
      }
      const own = join(folder, language)
      mkdirSync(own)
      cpSync('test/apis/mcp/clients', own, { recursive: true })
      await bash(build, own)
      for (const revision of ['auto', '2025-11-25']) {
        const printed = await bash(`${run} ${gateway.url} ${revision} '${JSON.stringify(CALLS)}'`, own)
        const told = JSON.parse(printed.trim().split('\n').at(-1)!)
        expect(told).to.deep.equal({
          revision: revision === 'auto' ? '2026-07-28' : revision,
          tools: Object.keys(CALLS),
          failed: { ...Object.fromEntries(Object.keys(CALLS).map(name => [name, null])), get_schema: 'noRegistry' }
        })
      }
    })
})
