import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { segmentName } from '../../../src/producer/log/files.js'
import {
  holdsRecords,
  leftDirectories,
  type OpenDurableLog,
  openDurableLog
} from '../../../src/producer/log/open-durable-log.js'
import { type WalSettings, walSettings } from '../../../src/producer/log/settings.js'
import { logWorker } from '../../support/built.js'

describe('opening the durable log', () => {
  let directory: string
  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'castellan-open-')), 'data', 'wal')
  })
  afterEach(() => rmSync(join(directory, '..', '..'), { recursive: true, force: true }))

  const settings = (overrides: Partial<WalSettings> = {}): WalSettings => walSettings.parse({ directory, ...overrides })
  const open = (onBroken: (error: Error) => void = () => undefined): Promise<OpenDurableLog> =>
    openDurableLog(settings(), { log: silentLogger, now: Date.now, onBroken, worker: logWorker })
  const append = ({ log }: OpenDurableLog, value: string): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const record = { key: null, value: Buffer.from(value), headers: [], timestampMs: 0 }
      const refusal = log.append([{ destination: 'default/orders', record }], resolve)
      if (refusal) reject(new Error(refusal.message))
    })

  it('durable-queue 16: refuses a directory that another process uses, in one line', async () => {
    const first = await open()
    const error = await open().then(
      () => undefined,
      (failure: Error) => failure
    )
    expect(error?.name).to.equal('LogUnusableError')
    expect(error?.message).to.match(/^another process uses the durable log in [^\n]*wal\.directory[^\n]*$/)
    await append(first, 'unharmed')
    await first.close()
    const second = await open()
    expect(second.report.openEntries).to.equal(1)
    await second.close()
  })

  it('says that somebody removed the lock, and takes nothing any more', async () => {
    let broken: Error | undefined
    let told: () => void = () => undefined
    const wasTold = new Promise<void>(resolve => (told = resolve))
    const opened = await open(error => {
      broken = error
      told()
    })
    rmSync(join(directory, 'LOCK'))
    await wasTold
    expect(broken?.message).to.match(/lock .* was taken away/)
    const error = await append(opened, 'x').catch((failure: Error) => failure)
    expect(error).to.be.an('error').with.property('message').match(/lock/)
    await opened.close()
  })

  const leaveRecord = async (): Promise<void> => {
    const opened = await open()
    await append(opened, 'x')
    await opened.close()
  }
  const files = (): string[] => readdirSync(directory).sort()
  const SEGMENT = '0000000000000001.slab'

  it('does not overlook records behind a link: it refuses the directory, and changes nothing', async () => {
    await leaveRecord()
    renameSync(join(directory, SEGMENT), join(directory, '..', 'elsewhere'))
    symlinkSync('../elsewhere', join(directory, SEGMENT))
    const before = files()
    const error = await open().catch((failure: Error) => failure)
    expect(error)
      .to.be.an('error')
      .with.property('message')
      .match(new RegExp(`^${SEGMENT} in .* is no regular file; [^\n]*$`))
    expect(files()).to.deep.equal(before)
  })

  it('leaves files alone whose names cannot be its own, and goes on beside them', async () => {
    await leaveRecord()
    const alien = ['9007199254740993.slab', '9999999999999999.progress', '9007199254740992.merge', 'x.slab']
    for (const name of alien) writeFileSync(join(directory, name), 'x')
    const opened = await open()
    expect(opened.report.openEntries).to.equal(1)
    await append(opened, 'y')
    await opened.close()
    expect(files()).to.include.members([...alien, '0000000000000002.slab'])
  })

  it('finds out whether there is anything to open', async () => {
    expect(holdsRecords(directory)).to.equal(false)
    expect(existsSync(directory)).to.equal(false)
    const opened = await open()
    expect(holdsRecords(directory)).to.equal(false)
    await append(opened, 'a')
    await opened.close()
    expect(holdsRecords(directory)).to.equal(true)
  })

  it('durable-queue 15: counts what came and what went', async () => {
    const first = await open()
    for (const value of ['a', 'b', 'c']) await append(first, value)
    first.log.complete(1)
    await first.close()
    const { log, close } = await open()
    expect(await log.look()).to.include({ enqueued: 2, completed: 0, openEntries: 2, segmentCount: 1, deadLetters: 0 })
    for (const sequence of [2, 2, 1]) log.complete(sequence)
    const [entry] = (await log.read({ fromSequence: 3, maxBytes: 1 })).entries
    await log.deadLetter(entry!, { code: 'MESSAGE_TOO_LARGE', message: 'too large', diedAtMs: 0 })
    while ((await log.look()).openEntries > 0) await new Promise(resolve => setTimeout(resolve, 5))
    expect(await log.look()).to.include({ enqueued: 2, completed: 2, openEntries: 0, deadLetters: 1 })
    await close()
  })
})

describe('directories of logs that no worker has any more', () => {
  const rootWith = (...names: string[]): string => {
    const root = mkdtempSync(join(tmpdir(), 'left-'))
    for (const name of names) {
      mkdirSync(join(root, name), { recursive: true })
      writeFileSync(join(root, name, segmentName(1)), '')
    }
    return root
  }

  it('are those of workers of an earlier build', () => {
    const root = rootWith('.', 'worker-1', 'worker-2', 'worker-3', 'worker-11')
    expect(leftDirectories(root).sort()).to.deep.equal([1, 11, 2, 3].map(number => join(root, `worker-${number}`)))
  })

  it('are none that are not logs, or hold nothing', () => {
    const root = rootWith('worker-x', 'worker-0', 'worker-01', 'other', 'old-worker-1', 'worker-1-old')
    mkdirSync(join(root, 'worker-2'))
    expect(leftDirectories(root)).to.deep.equal([])
    expect(leftDirectories(join(root, 'nowhere'))).to.deep.equal([])
  })
})
