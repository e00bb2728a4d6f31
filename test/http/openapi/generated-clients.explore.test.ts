import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { startTestApp } from '../../support/test-app.js'

interface Generator {
  /** What has to be installed for it to run. */
  readonly tools: readonly string[]
  /** Installs the generator, makes a client of `../openapi.json`, and builds it with the program of `clients/`. */
  readonly build: string
  /** Runs the program: it writes and reads a record by each API, and prints what it has read. Absent: the client is compiled only. */
  readonly run?: string
  /** Whether its program works a queue as well: acquires, renews and accepts a message, and describes the group. */
  readonly hasQueue?: boolean
  /** What is read other than `hello`, by API, and why. */
  readonly differs?: Readonly<Record<string, RegExp>>
}

const npm = (...packages: readonly string[]): string =>
  `npm init -y; npm i --no-audit --no-fund typescript@5.9 @types/node@20 ${packages.join(' ')}`
const pip = (...packages: readonly string[]): string =>
  `python3 -m venv py; export PATH=$PWD/py/bin:$PATH; pip install -q ${packages.join(' ')}`
const tsc = (program: string): string =>
  `npx tsc --noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler --types node ${program}`
const tsx = (program: string): string => `${join(process.cwd(), 'node_modules/.bin/tsx')} ${program}`
const openapiGenerator = (language: string): string =>
  `${pip('openapi-generator-cli==7.26.0')}; openapi-generator-cli generate -i ../openapi.json -o out -g ${language}`

/** The message is JSON, as the client has no other body. */
const kafkaPixy = /^"hello"$/

const generators: Readonly<Record<string, Generator>> = {
  'openapi-typescript': {
    tools: ['npm'],
    build: `${npm('openapi-typescript@7.13.0', 'openapi-fetch@0.17.0')}; npx openapi-typescript ../openapi.json -o schema.d.ts --default-non-nullable=false; ${tsc('openapi-typescript.ts')}`,
    run: tsx('openapi-typescript.ts'),
    hasQueue: true
  },
  orval: {
    tools: ['npm'],
    build: `${npm('orval@8.38.0')}; npx orval --input ../openapi.json --output client.ts --client fetch; ${tsc('orval.ts')}`,
    run: tsx('orval.ts'),
    differs: { kafkaPixy }
  },
  'openapi-generator for TypeScript': {
    tools: ['npm', 'python3', 'java'],
    build: `${openapiGenerator('typescript-fetch')}; ${npm()}; ${tsc('openapi-generator.ts')}`,
    run: tsx('openapi-generator.ts')
  },
  'openapi-generator for Python': {
    tools: ['python3', 'java'],
    build: `${openapiGenerator('python')}; pip install -q ./out`,
    run: 'py/bin/python openapi-generator.py'
  },
  'openapi-generator for Go': {
    tools: ['go', 'python3', 'java'],
    build: `${openapiGenerator('go')}; mkdir out/cmd; cp openapi-generator.go out/cmd/main.go; cd out; go mod tidy; go build -o ../client ./cmd`,
    run: './client',
    // It accepts all types at once, and the bridge takes one.
    differs: { strimzi: /406/ }
  },
  'openapi-generator for Java': {
    tools: ['python3', 'java', 'mvn'],
    build: `${openapiGenerator('java')}; cd out; mvn -B -q compile`
  },
  'openapi-python-client': {
    tools: ['python3'],
    build: `${pip('openapi-python-client==0.29.1', 'ruff')}; openapi-python-client generate --path ../openapi.json --output-path out; pip install -q ./out`,
    run: 'py/bin/python openapi-python-client.py',
    hasQueue: true,
    // Its own code fails where a body may be a list.
    differs: { kafkaPixy, cloudEvents: /parameterized generic/ }
  }
}

const APIS = ['kafkaPixy', 'confluentV2', 'confluentV3', 'strimzi', 'arion', 'kprf', 'cloudEvents']

/** @throws with the end of what was printed */
const bash = async (script: string, cwd: string): Promise<string> => {
  const ran = promisify(execFile)('bash', ['-ec', `{ ${script}; } 2>&1`], { cwd, maxBuffer: 1e8 })
  const { stdout } = await ran.catch(({ stdout }: { stdout: string }) =>
    Promise.reject(new Error(stdout.slice(-2_000)))
  )
  return stdout
}

describe('The clients that generators make of /openapi.json', function () {
  this.timeout(600_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-clients-'))
  let cluster: EmbeddedCluster
  let app: App
  before(async () => {
    cluster = await startEmbeddedCluster()
    app = await startTestApp(cluster.bootstrap)
    const served = await (await fetch(`${app.urls.shared}/openapi.json`)).text()
    // Python's packages have versions of another form than the test's.
    writeFileSync(join(folder, 'openapi.json'), served.replace('0.0.0-test', '0.1.0'))
  })
  after(async () => {
    await app.stop()
    await cluster.close()
    rmSync(folder, { recursive: true })
  })

  for (const [name, { tools, build, run, hasQueue = false, differs = {} }] of Object.entries(generators)) {
    it(`of ${name} build${run === undefined ? '' : ', and write and read a record by each API'}`, async function () {
      const found = await bash(`for tool in ${tools.join(' ')}; do command -v $tool || echo no $tool; done`, folder)
      const missing = found.match(/^no .*/gm)
      if (missing !== null) {
        console.log(`      skipped: ${missing.join(', ')} on this machine`)
        this.skip()
      }
      const own = join(folder, name.replaceAll(' ', '-'))
      mkdirSync(own)
      cpSync('test/http/openapi/clients', own, { recursive: true })
      await bash(build, own)
      if (run === undefined) return
      const printed = await bash(`${run} ${app.urls.shared} ${name.replaceAll(' ', '-')}`, own)
      const read = JSON.parse(printed.trim().split('\n').at(-1)!) as Readonly<Record<string, string>>
      for (const api of hasQueue ? [...APIS, 'queues'] : APIS)
        expect(read[api], api).to.match(differs[api] ?? /^hello$/)
    })
  }
})
