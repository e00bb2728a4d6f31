import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import { Children, Gateway } from '../../cli/child.js'
import { PROJECT } from '../../support/built.js'

interface Written {
  readonly name: string
  readonly pid: number
}

/** Stands in for the exporter of the page: writes a line for each span. */
const EXPORTER = `
import { appendFileSync } from 'node:fs'
export class OTLPTraceExporter {
  export (spans, done) {
    const lines = spans.map(({ name }) => JSON.stringify({ name, pid: process.pid }) + '\\n')
    appendFileSync(process.env.SPANS, lines.join(''))
    done({ code: 0 })
  }
  async shutdown () {}
}
`

describe('tracing of a process', function () {
  this.timeout(120_000)
  const children = new Children()
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-tracing-'))
    symlinkSync(join(PROJECT, 'node_modules'), join(folder, 'node_modules'))
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true })
  })

  /** The file of docs/tracing.md, with another exporter. @returns the variables with which the process is started */
  function writeSetUp(): Record<string, string> {
    const [, code] = /```js\n(.*?)```/s.exec(readFileSync(join(PROJECT, 'docs/tracing.md'), 'utf8'))!
    writeFileSync(join(folder, 'exporter.mjs'), EXPORTER)
    writeFileSync(
      join(folder, 'tracing.mjs'),
      code!.replace('@opentelemetry/exporter-trace-otlp-http', './exporter.mjs')
    )
    return {
      NODE_OPTIONS: `--import ${pathToFileURL(join(folder, 'tracing.mjs')).href}`,
      SPANS: join(folder, 'spans')
    }
  }

  async function spans(isThere: (spans: readonly Written[]) => boolean): Promise<readonly Written[]> {
    for (const end = performance.now() + 30_000; ; await sleep(50)) {
      const text = readFileSync(join(folder, 'spans'), { encoding: 'utf8', flag: 'a+' })
      const found = text
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as Written)
      if (isThere(found)) return found
      if (performance.now() > end) throw new Error(text)
    }
  }

  it('begins with the lines of docs/tracing.md', async () => {
    const gateway = await Gateway.start(
      children,
      ['--embedded-port', '0', '--set', 'apis.kprf.messageTimeoutMs=10000'],
      writeSetUp()
    )
    const answer = await gateway.push({ records: [{ topic: 'orders', key: 'k', data: 'a' }], wait_for_send: true })
    expect(answer.status).to.equal(200)
    const found = await spans(all => all.length >= 2)
    expect(found.map(({ name }) => name).sort()).to.deep.equal(['POST /kprf/push', 'send orders'])
    expect(found.every(({ pid }) => pid === gateway.child.process.pid)).to.equal(true)
    expect(await gateway.child.stop()).to.equal(0)
  })

  it('does not load the API without an SDK', () => {
    const script = `
      import { createRequire } from 'node:module'
      const { openCastellan } = await import(${JSON.stringify(pathToFileURL(join(PROJECT, 'dist/index.js')).href)})
      const castellan = await openCastellan({ brokers: '127.0.0.1:1' })
      await castellan.close({ timeoutMs: 0 })
      const { cache } = createRequire(${JSON.stringify(join(PROJECT, 'package.json'))})
      console.log(Object.keys(cache).filter(name => name.includes('opentelemetry')).length)
    `
    const run = (code: string): string =>
      execFileSync(process.execPath, ['--input-type=module', '--eval', code], { encoding: 'utf8' }).trim()
    expect(run(script)).to.equal('0')
    const loaded = `
      import { createRequire } from 'node:module'
      const require = createRequire(${JSON.stringify(join(PROJECT, 'package.json'))})
      require('@opentelemetry/api')
      console.log(Object.keys(require.cache).filter(name => name.includes('opentelemetry')).length > 0)
    `
    expect(run(loaded)).to.equal('true')
  })
})
