import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Children, COMMAND, Gateway } from '../../cli/child.js'
import { PROJECT } from '../../support/built.js'

/**
 * Runs the shell blocks of pages in their order, as a reader does, beside a gateway that `castellan serve` has just
 * started. The block beneath a block of the language `sh` says what it prints; without one it prints nothing. `…`
 * stands for any text; dates, UUIDs and times in milliseconds may have any value. A block whose language is followed by the
 * name of a file is saved as that file before.
 */
const pages = [
  'README.md',
  ...['docs/compatibility', 'docs/start'].flatMap(folder => readdirSync(folder).map(name => `${folder}/${name}`)),
  'docs/receipts.md',
  'docs/idempotency.md',
  'docs/queues.md',
  'docs/webhooks.md'
]

/** The words behind `sh` of blocks that cannot run here, and why they cannot. */
const reasons: ReadonlyMap<string, string> = new Map([
  ['installs', 'builds, packs or installs the package'],
  ['registry', 'needs a schema registry, which the gateway has none of'],
  ['replaces', 'starts a gateway on the port of an older system, with a file or brokers of the reader']
])
/** Behind `sh`: the block has no end. It is ended when it has printed what the page says. */
const ENDLESS = 'endless'
const PATIENCE_MS = 45_000

interface Block {
  readonly word: string
  readonly commands: string
  readonly output: string
}

const fencesOf = (page: string): { language: string; word: string; text: string; after: string }[] => {
  const source = readFileSync(page, 'utf8')
  return [...source.matchAll(/^```(\w*) ?([\w.]*)\n([\s\S]*?)^```\n+/gm)].map(match => {
    const [all, language, word, text] = match as unknown as [string, string, string, string]
    return { language, word, text, after: source.slice(match.index + all.length) }
  })
}

function blocksOf(page: string): Block[] {
  const blocks = fencesOf(page).filter(({ language }) => language === 'sh')
  return blocks.map(({ word, text: commands, after }) => {
    const output = after.match(/^```(?:text|json)\n([\s\S]*?\n)```\n/)?.[1] ?? ''
    return { word, commands, output }
  })
}

const shapeOf = (text: string): string =>
  text
    .replaceAll('\r', '')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'DATE')
    .replaceAll(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, 'UUID')
    .replaceAll(/\b1[789]\d{11}\b/g, 'MILLISECONDS')
    .trim()

function prints(printed: string, output: string): boolean {
  const parts = shapeOf(output).split('…')
  const pattern = parts.map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join(String.raw`[\s\S]*?`)
  return new RegExp(`^${pattern}$`).test(shapeOf(printed))
}

/** Runs a block to its end; resolves with all that it has printed. */
function run({ word, commands, output }: Block, folder: string, brokers: string): Promise<string> {
  const path = `${folder}/bin:${process.env.PATH}`
  const env = { PATH: path, HOME: folder, CASTELLAN_CLUSTERS_DEFAULT_BROKERS: brokers }
  const child = spawn('sh', ['-c', commands], { cwd: folder, env, detached: true, timeout: PATIENCE_MS })
  const endAll = (): void => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // All of them have ended.
    }
  }
  let printed = ''
  return new Promise(resolve => {
    const take = (text: Buffer): void => {
      printed += text.toString()
      if (word === ENDLESS && prints(printed, output)) endAll()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('exit', (_, signal) => signal !== null && endAll())
    child.on('close', () => resolve(printed))
  })
}

/** What a command at GET / prints, by the first word that it has. */
const outputsAtRoot = [
  ['curl -N ', 'retry: …"hello"…'],
  ['curl -i ', 'HTTP/1.1 20…'],
  ['/mcp', '{"result":{"tools":…'],
  ['/openapi.json', '{"openapi":…']
] as const

describe('the shell blocks of the docs', function () {
  this.timeout(180_000)
  const children = new Children()
  let folder: string
  before(function () {
    if (spawnSync('curl', ['--version']).status === 0) return
    console.log('    SKIPPED: curl is not installed (Debian: apt-get install curl)')
    this.skip()
  })
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-pages-'))
    // Curl shows its progress where its output is no terminal, unless told otherwise.
    writeFileSync(join(folder, '.curlrc'), 'silent\nshow-error\n')
    mkdirSync(join(folder, 'bin'))
    const command = [process.execPath, ...COMMAND].join(' ')
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(PROJECT, join(folder, 'node_modules/castellan'))
    writeFileSync(join(folder, 'bin/castellan'), `#!/bin/sh\ncd ${PROJECT} && exec ${command} "$@"\n`, { mode: 0o755 })
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true })
  })

  async function start(): Promise<{ readonly url: string; readonly brokers: string }> {
    const environment = { CASTELLAN_WAL_DIRECTORY: join(folder, 'wal') }
    const { url, child } = await Gateway.start(children, ['--embedded-port', '0'], environment)
    const [, brokers] = await child.line(/embedded broker on ([\d.:]+)/)
    return { url, brokers: brokers! }
  }

  for (const page of pages) {
    it(`${page} prints what it says, from an empty gateway on`, async function () {
      const blocks = blocksOf(page).filter(({ word }) => !reasons.has(word))
      if (blocks.length === 0) return
      if (
        page.endsWith('/php.md') &&
        spawnSync('php', ['-r', 'exit(extension_loaded("curl") ? 0 : 1);']).status !== 0
      ) {
        console.log('    SKIPPED: PHP is not installed (Debian: apt-get install php-cli php-curl)')
        return this.skip()
      }
      const { url, brokers } = await start()
      const here = (text: string): string =>
        text.replaceAll('http://127.0.0.1:8080', url).replaceAll('127.0.0.1:9092', brokers)
      for (const { word, text } of fencesOf(page)) if (word.includes('.')) writeFileSync(join(folder, word), here(text))
      for (const { word, commands, output } of blocks) {
        const block = { word, commands: here(commands), output: here(output) }
        const printed = await run(block, folder, brokers)
        if (!prints(printed, block.output)) expect(`${commands}${printed}`).to.equal(`${commands}${output}`)
      }
    })
  }

  it('are at GET / of the shared port, too, where each command works from an empty gateway on', async () => {
    const { url, brokers } = await start()
    const text = await (await fetch(url)).text()
    const commands = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
    expect(commands).to.have.length(12)
    for (const command of commands) {
      const isTail = command.startsWith('curl -N ')
      const [, output] = outputsAtRoot.find(([word]) => command.includes(word))!
      const printed = await run({ word: isTail ? ENDLESS : '', commands: command, output }, folder, brokers)
      if (!prints(printed, output)) expect(`${command}\n${printed}`).to.equal(`${command}\n${output}`)
    }
  })

  it('are marked as such, and few of them are not run, each for a known reason', () => {
    const fences = pages.flatMap(fencesOf)
    expect(fences.filter(({ language }) => language === '').map(({ text }) => text)).to.deep.equal([])
    const words = fences.map(({ word }) => word).filter(word => word !== '' && word !== ENDLESS && !word.includes('.'))
    expect(words.filter(word => !reasons.has(word))).to.deep.equal([])
    expect(words).to.have.length.below(14)
  })
})
