import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'chai'
import { type DirectoryLock, isLocked, ownerOf } from '../../../src/core/files/directory-lock.js'
import { codeOf } from '../../../src/core/node-errors.js'
import { lockLog, whyNotToTake } from '../../../src/producer/log/log-lock.js'
import { LOADER, moduleUrl } from '../../support/built.js'

describe('the lock of a directory', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-lock-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const take = (onLost = (): void => undefined): Promise<DirectoryLock> => lockLog(directory, onLost)
  const failureOf = (taking: Promise<DirectoryLock>): Promise<Error | undefined> =>
    taking.then(
      () => undefined,
      (error: Error) => error
    )

  it('has one owner, and another one after its release', async () => {
    const lock = await take()
    expect((await failureOf(take()))?.message).to.match(/another process uses the durable log/)
    lock.release()
    ;(await take()).release()
    expect(readdirSync(directory)).to.deep.equal([])
  })

  it('tells its owner, also of a process that is stopped and does not answer', async () => {
    expect(await ownerOf(directory)).to.equal(undefined)
    const lock = await take()
    expect(await ownerOf(directory)).to.deep.equal({ pid: process.pid })
    lock.release()
    await ownedByChild(directory, async child => {
      expect(await ownerOf(directory)).to.deep.equal({ pid: child.pid })
      child.kill('SIGSTOP')
      expect(await ownerOf(directory)).to.deep.equal({ pid: undefined })
    })
  })

  it('is taken over from a process that was killed, by exactly one of many', async () => {
    await ownedByChild(directory, async child => {
      expect(await failureOf(take())).to.be.instanceOf(Error)
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
    expect(readdirSync(directory)).to.include('LOCK')
    const results = await Promise.allSettled(Array.from({ length: 6 }, () => take()))
    const owners = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    expect(owners).to.have.length(1)
    owners[0]!.release()
    expect(readdirSync(directory)).to.deep.equal([])
  })

  it('stays with a process that is stopped, however many have asked for it', async () => {
    await ownedByChild(directory, async child => {
      child.kill('SIGSTOP')
      const asking = Array.from({ length: 700 }, () => connect(join(directory, 'LOCK')))
      const refusals = await Promise.all(
        asking.map(
          socket =>
            new Promise<unknown>(resolve =>
              socket.once('connect', () => resolve(undefined)).once('error', error => resolve(codeOf(error)))
            )
        )
      )
      expect(refusals, 'more than the system keeps waiting').to.include('EAGAIN')
      expect((await failureOf(take()))?.message).to.match(/another process uses the durable log/)
      for (const socket of asking) socket.destroy()
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
  })

  it('tells its owner when somebody removed it', async () => {
    let owner: DirectoryLock | undefined
    const lost = new Promise<void>(resolve => {
      void take(resolve).then(lock => {
        rmSync(join(directory, 'LOCK'))
        owner = lock
      })
    })
    await lost
    owner!.release()
  })

  it('keeps nobody who asks whether it is held', async () => {
    const lock = await take()
    const asking = connect(join(directory, 'LOCK'))
    asking.resume()
    await once(asking, 'close')
    lock.release()
  })

  it('that another process has taken meanwhile stays there when the first owner releases its own', async () => {
    const first = await take()
    rmSync(join(directory, 'LOCK'))
    const second = await take()
    first.release()
    expect(await isLocked(directory)).to.equal(true)
    second.release()
    expect(await isLocked(directory)).to.equal(false)
    expect(readdirSync(directory)).to.deep.equal([])
  })

  it('that a process takes while another one is about to remove a dead one is put back', async () => {
    const elsewhere = join(directory, 'elsewhere')
    const owner = await lockLog(elsewhere, () => undefined)
    const path = join(directory, 'LOCK')
    writeFileSync(path, 'left by a dead process')
    const taking = failureOf(take())
    // It has found the lock dead by now, and learns of it in the next turn.
    for (let ticks = 0; ticks < 10; ticks++) await new Promise<void>(resolve => process.nextTick(resolve))
    renameSync(join(elsewhere, 'LOCK'), path)
    const { ino } = statSync(path)
    expect((await taking)?.message).to.match(/another process uses the durable log/)
    expect(statSync(path).ino).to.equal(ino)
    expect(readdirSync(directory).sort()).to.deep.equal(['LOCK', 'elsewhere'])
    owner.release()
    rmSync(path)
  })

  it('says why it cannot be taken, and leaves everything as it is', async () => {
    const missing = join(directory, 'not', 'there')
    expect(await whyNotToTake(missing)).to.equal(undefined)
    expect(existsSync(join(directory, 'not'))).to.equal(false)
    expect(await whyNotToTake(directory)).to.equal(undefined)
    const file = join(directory, 'file')
    writeFileSync(file, '')
    for (const path of [file, join(file, 'below')]) {
      expect(await whyNotToTake(path)).to.equal(
        `the durable log cannot use ${path} (wal.directory): ENOTDIR: not a directory: ${file}`
      )
    }
    rmSync(file)
    const lock = await take()
    const reason = `another process uses the durable log in ${directory}; stop it, or give each process a directory of its own (wal.directory)`
    expect(await whyNotToTake(directory)).to.equal(reason)
    lock.release()
    expect(await whyNotToTake(directory)).to.equal(undefined)
    expect(readdirSync(directory)).to.deep.equal([])
  })

  it('tells that a file system makes no directories, by leaving none where it does', async () => {
    expect(await whyNotToTake('/proc/castellan/wal')).to.equal(
      'the durable log cannot use /proc/castellan/wal (wal.directory): no directory can be made in /proc (ENOENT)'
    )
    expect(await whyNotToTake('/proc/castellan/wal', false), 'only the right to write is looked at').to.equal(undefined)
    expect(await whyNotToTake(join(directory, 'wal'))).to.equal(undefined)
    expect(readdirSync(directory)).to.deep.equal([])
    const failure = await failureOf(lockLog('/proc/castellan/wal', () => undefined))
    expect(failure?.message).to.match(/^the durable log cannot use \/proc\/castellan\/wal \(wal\.directory\): ENOENT/)
  })

  it('is refused in one line where the directory cannot be made', async () => {
    const file = join(directory, 'file')
    writeFileSync(file, '')
    const failure = await failureOf(lockLog(join(file, 'wal'), () => undefined))
    expect(failure?.name).to.equal('LogUnusableError')
    expect(failure?.message).to.match(/^the durable log cannot use [^\n]*file.wal \(wal\.directory\): ENOTDIR[^\n]*$/)
  })

  it('works in directories with long paths', async () => {
    const long = join(directory, 'x'.repeat(60), 'y'.repeat(60))
    const before = process.cwd()
    process.chdir(directory)
    try {
      const lock = await lockLog(long, () => undefined)
      expect(await failureOf(lockLog(long, () => undefined))).to.be.instanceOf(Error)
      lock.release()
    } finally {
      process.chdir(before)
    }
  })

  it('is not held in a directory with a long path that is not there', async () => {
    const long = join(directory, 'x'.repeat(60), 'y'.repeat(60))
    expect(await isLocked(long)).to.equal(false)
    expect(await isLocked(join(directory, 'LOCK', 'z'.repeat(120)))).to.equal(false)
  })

  it('belongs to the worker that has taken it, also in directories with long paths', async () => {
    for (const path of [directory, join(directory, 'x'.repeat(60), 'y'.repeat(60))]) {
      await inWorker(path, async end => {
        expect((await failureOf(lockLog(path, () => undefined)))?.message).to.match(/another process/)
        await end()
        const lock = await lockLog(path, () => undefined)
        lock.release()
      })
    }
  })
})

/** A process whose parent shares ports with it owns the directory while `use` runs. */
async function inWorker(path: string, use: (end: () => Promise<void>) => Promise<void>): Promise<void> {
  const code = `
    import cluster from 'node:cluster'
    if (cluster.isPrimary) {
      const worker = cluster.fork()
      worker.on('message', said => console.log(said))
      worker.on('exit', () => console.log('worker ended'))
      process.stdin.on('data', () => worker.process.kill('SIGKILL'))
      process.stdin.on('end', () => process.exit())
    } else {
      const { lockLog } = await import('${moduleUrl('producer/log/log-lock')}')
      const said = await lockLog(${JSON.stringify(path)}, () => undefined).then(() => 'owner', String)
      process.send(said)
      setInterval(() => undefined, 1000)
    }`
  const parts = mkdtempSync(join(tmpdir(), 'castellan-worker-'))
  const file = join(parts, 'parent.mjs')
  writeFileSync(file, code)
  const parent = spawn(process.execPath, [...LOADER, file], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: parent.stdout! })
  const nextLine = async (): Promise<string> => ((await once(lines, 'line')) as [string])[0]
  try {
    expect(await nextLine()).to.equal('owner')
    await use(async () => {
      const ended = nextLine()
      parent.stdin!.write('end')
      expect(await ended).to.equal('worker ended')
    })
  } finally {
    parent.stdin!.end()
    parent.kill('SIGKILL')
    rmSync(parts, { recursive: true, force: true })
  }
}

/** A process that owns the directory while `use` runs. */
async function ownedByChild(directory: string, use: (child: ChildProcess) => Promise<void>): Promise<void> {
  const code = `
    import { lockLog } from '${moduleUrl('producer/log/log-lock')}'
    await lockLog(${JSON.stringify(directory)}, () => undefined)
    console.log('owner')
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, [...LOADER, '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  try {
    await once(child.stdout!, 'data')
    await use(child)
  } finally {
    child.kill('SIGKILL')
  }
}
