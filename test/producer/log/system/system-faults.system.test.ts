import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'chai'
import { silentLogger } from '../../../../src/core/model.js'
import { readLoggedRecord } from '../../../../src/producer/log/logged-record.js'
import { openDurableLog } from '../../../../src/producer/log/open-durable-log.js'
import { walSettings } from '../../../../src/producer/log/settings.js'
import { logWorker } from '../../../support/built.js'
import type { AppendingOptions } from './appending-process.js'
import { readSyncTrace, type SyncTrace } from './sync-trace.js'

const PROGRAM = ['--import', 'tsx', 'test/producer/log/system/appending-process.ts']

const isInstalled = (program: string): boolean => spawnSync('which', [program]).status === 0

/** A child's answers: ids by what was said of them. */
interface Answers {
  readonly stored: string[]
  readonly refused: { readonly id: string; readonly kind: string; readonly isCertain: boolean }[]
}

async function readAnswers(child: ChildProcess, onStored: (count: number) => void = () => undefined): Promise<Answers> {
  const answers: Answers = { stored: [], refused: [] }
  for await (const line of createInterface({ input: child.stdout! })) {
    const [what, id, kind, isCertain] = line.split(' ')
    if (what === 'stored') onStored(answers.stored.push(id!))
    else answers.refused.push({ id: id!, kind: kind!, isCertain: isCertain === 'true' })
  }
  return answers
}

/** The ids in a log, in order. */
async function idsIn(directory: string): Promise<string[]> {
  const settings = walSettings.parse({ directory })
  const { log, close } = await openDurableLog(settings, {
    log: silentLogger,
    now: Date.now,
    onBroken: () => undefined,
    worker: logWorker
  })
  const ids: string[] = []
  for (let fromSequence = 1, isAtEnd = false; !isAtEnd; ) {
    const result = await log.read({ fromSequence, maxBytes: 4 * 1024 * 1024 })
    ids.push(...result.entries.map(({ body }) => String(readLoggedRecord(body).key)))
    fromSequence = result.nextSequence
    isAtEnd = result.isAtEnd
  }
  await close()
  return ids
}

describe('the durable log on a real system', function () {
  this.timeout(120_000)
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-system-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const start = (options: Omit<AppendingOptions, 'directory'>, before: readonly string[] = []): ChildProcess => {
    const log = { directory: join(directory, 'wal'), ...options }
    const [program, ...args] = [...before, process.execPath, ...PROGRAM, JSON.stringify(log)]
    return spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  }

  it('keeps everything that was acknowledged to a process that was killed', async () => {
    const child = start({ putters: 32, valueBytes: 500 })
    const { stored } = await readAnswers(child, count => {
      if (count === 3_000) child.kill('SIGKILL')
    })
    const found = await idsIn(join(directory, 'wal'))
    expect(stored.length).to.be.at.least(3_000)
    expect(new Set(found)).to.include.keys(...stored)
    expect(new Set(found).size).to.equal(found.length)
  })

  describe('traced', () => {
    before(function () {
      if (isInstalled('strace')) return
      console.log('    SKIPPED: strace is not installed (Debian: apt-get install strace)')
      this.skip()
    })

    async function traced(
      options: Omit<AppendingOptions, 'directory'>,
      ...injections: string[]
    ): Promise<Answers & { trace: SyncTrace }> {
      const file = join(directory, 'trace')
      const calls = ['-e', 'trace=pwrite64,write,writev,fdatasync', ...injections]
      const child = start(options, [
        'strace',
        '-f',
        '-y',
        '-qq',
        '--seccomp-bpf',
        '-s',
        '1000000',
        '-o',
        file,
        ...calls
      ])
      const [answers] = await Promise.all([readAnswers(child), once(child, 'close')])
      const lines: string[] = []
      for await (const line of createInterface({ input: createReadStream(file) })) lines.push(line)
      const acknowledged = (text: string): string[] => text.match(/(?<=stored )id-\d+/g) ?? []
      return { ...answers, trace: readSyncTrace(lines, { id: /id-\d+/g, acknowledged }) }
    }

    it('durable-queue 13: answers 10,000 appends, each after the fdatasync that covers it', async () => {
      const { stored, trace } = await traced({ putters: 64, records: 10_000, valueBytes: 20 })
      expect(stored).to.have.length(10_000)
      expect(trace).to.deep.include({ answered: 10_000, tooEarly: [], failedSyncs: 0 })
    })

    it('acknowledges nothing of a sync that failed, and never syncs that file again', async () => {
      const options = { putters: 16, records: 2_000, valueBytes: 20 }
      const { stored, refused, trace } = await traced(options, '-e', 'inject=fdatasync:error=EIO:when=40')
      expect(trace).to.deep.include({ tooEarly: [], syncedAgain: [], failedSyncs: 1 })
      expect(refused.map(({ kind, isCertain }) => `${kind} ${isCertain}`)).to.include('failed true')
      const found = new Set(await idsIn(join(directory, 'wal')))
      expect(stored.filter(id => !found.has(id))).to.deep.equal([])
      expect(refused.filter(({ id }) => found.has(id))).to.deep.equal([])
      expect(stored.length + refused.length).to.equal(2_000)
    })

    it('acknowledges nothing any more once every sync fails', async () => {
      const options = { putters: 16, records: 500, valueBytes: 20, pauseMs: 1 }
      const { stored, refused, trace } = await traced(options, '-e', 'inject=fdatasync:error=EIO:when=12+')
      expect(trace).to.deep.include({ tooEarly: [], syncedAgain: [], answeredAfterFailure: 0 })
      expect(trace.failedSyncs).to.be.above(0)
      const found = new Set(await idsIn(join(directory, 'wal')))
      expect(stored.filter(id => !found.has(id))).to.deep.equal([])
      expect(refused.filter(({ id, isCertain }) => isCertain && found.has(id))).to.deep.equal([])
    })
  })

  describe('on a disk of 3 MiB', () => {
    let isMounted = false
    beforeEach(function () {
      const mountPoint = join(directory, 'wal')
      mkdirSync(mountPoint)
      isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', mountPoint]).status === 0
      if (isMounted) return
      console.log(
        '    SKIPPED: this user may not mount a tmpfs; test/producer/log/log-store.test.ts has the same on a simulated disk'
      )
      this.skip()
    })
    afterEach(() => {
      if (isMounted) execFileSync('umount', ['-l', join(directory, 'wal')])
    })

    it('refuses for certain what does not fit, and takes more once records are completed', async () => {
      const child = start({ putters: 8, records: 6_000, valueBytes: 2_000, pauseMs: 5, completeWhenFull: true })
      const { stored, refused } = await readAnswers(child)
      expect(refused.length).to.be.above(0)
      expect(new Set(refused.map(({ kind, isCertain }) => `${kind} ${isCertain}`))).to.deep.equal(
        new Set(['full true'])
      )
      expect(stored.length, 'more than fits at once').to.be.above(3_000)
      const found = new Set(await idsIn(join(directory, 'wal')))
      expect(refused.filter(({ id }) => found.has(id))).to.deep.equal([])
      expect([...found].filter(id => !stored.includes(id))).to.deep.equal([])
    })
  })
})
