import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'chai'
import { LOADER, moduleUrl } from '../support/built.js'

/** A broker is told in this time that another one has taken its directory, and the busy machine in which it runs. */
const TOLD_WITHIN_MS = 2_000
const BUSY_MS = 3_000
/** Each process that it begins sees itself as process 1, and none outside. */
const OWN_NAMESPACE = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']

const NEW_BROKER = `
  import { startEmbeddedCluster } from '${moduleUrl('embedded-broker/start-embedded-cluster')}'
  try {
    await startEmbeddedCluster({ directory: process.argv.at(-1), warn: line => console.log(line) })
    console.log('open')
  } catch (error) {
    console.log(error.message)
    process.exit(1)
  }`
/** Takes a directory as releases until 0.2 do: by the file with the id of its process. */
const OLD_BROKER = `
  import { readFileSync, rmSync, writeFileSync } from 'node:fs'
  const path = process.argv.at(-1) + '/lock'
  const take = () => writeFileSync(path, String(process.pid), { flag: 'wx' })
  const isAlive = pid => {
    try {
      return process.kill(pid, 0)
    } catch (error) {
      return error.code === 'EPERM'
    }
  }
  try {
    take()
  } catch {
    const holder = Number(readFileSync(path, 'utf8'))
    if (holder !== process.pid && isAlive(holder)) {
      console.log('is in use by process ' + holder)
      process.exit(1)
    }
    rmSync(path, { force: true })
    take()
  }
  console.log('open')
  setInterval(() => undefined, 1_000)`

const mayUnshare = spawnSync(OWN_NAMESPACE[0]!, [...OWN_NAMESPACE.slice(1), 'true']).status === 0

describe('brokers of two containers with one volume', function () {
  this.timeout(60_000)
  let directory: string
  let started: ChildProcess[]
  before(function () {
    if (mayUnshare) return
    console.log('      not tried: this user may make no namespace of process ids (unshare)')
    this.skip()
  })
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-namespaces-'))
    started = []
  })
  afterEach(async () => {
    for (const child of started) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    rmSync(directory, { recursive: true, force: true })
  })

  /** @returns the lines that it prints; the first one is `open`, or why it may not have the directory */
  function start(code: string, isApart: boolean): AsyncIterator<string> {
    const node = [process.execPath, ...LOADER, '--input-type=module', '-e', code, directory]
    const [command, ...args] = isApart ? [...OWN_NAMESPACE, ...node] : node
    const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    started.push(child)
    return createInterface(child.stdout!)[Symbol.asyncIterator]()
  }
  const said = async (lines: AsyncIterator<string>): Promise<string> => String((await lines.next()).value)

  it('are two processes 1, of which the second one is refused', async () => {
    expect(await said(start(NEW_BROKER, true))).to.equal('open')
    expect(readFileSync(join(directory, 'lock'), 'utf8')).to.equal('1')
    for (let times = 0; times < 2; times++)
      expect(await said(start(NEW_BROKER, true))).to.equal(
        `${directory} is in use by another process; give the embedded broker another directory`
      )
  })

  for (const [first, second, what] of [
    [NEW_BROKER, OLD_BROKER, 'an old release beside a new one'],
    [OLD_BROKER, NEW_BROKER, 'a new release beside an old one']
  ] as const)
    it(`refuse each other in one namespace: ${what}`, async () => {
      expect(await said(start(first, false))).to.equal('open')
      expect(await said(start(second, false))).to.match(/is in use by process \d+/)
    })

  it('an old release, which cannot be refused, ends the new one within two seconds', async () => {
    const lines = start(NEW_BROKER, true)
    expect(await said(lines)).to.equal('open')
    expect(await said(start(OLD_BROKER, true))).to.equal('open')
    const takenAt = performance.now()
    expect(await said(lines)).to.equal(
      `another process has taken ${directory}: the embedded broker writes nothing any more, and ends`
    )
    expect(performance.now() - takenAt).to.be.below(TOLD_WITHIN_MS + BUSY_MS)
  })

  it('is taken from a container that was killed', async () => {
    expect(await said(start(NEW_BROKER, true))).to.equal('open')
    started[0]!.kill('SIGKILL')
    await once(started[0]!, 'exit')
    writeFileSync(join(directory, 'lock'), '1')
    expect(await said(start(NEW_BROKER, true))).to.equal('open')
  })
})
