import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { encodeEntry } from '../../../src/producer/log/entry.js'
import { readDeadLetters } from '../../../src/producer/log/inspect.js'
import { NodeDirectory } from '../../../src/producer/log/node-files.js'
import { type OpenedLog, openLogThread } from '../../../src/producer/log/thread-log-host.js'
import { logWorker, PROJECT } from '../../support/built.js'

/** A thread that opens at once, does with each call what `code` says, and ends when the log is closed. */
const threadThat = (code: string): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { parentPort as port } from 'node:worker_threads'
      port.postMessage({ type: 'answer', value: { report: {}, notes: [['a', new Uint8Array([1])]] } })
      port.on('message', call => {
        ${code}
        if (call.name === 'close') port.close()
      })`)}`
  )

const failureOf = (promise: Promise<unknown>): Promise<Error | undefined> =>
  promise.then(
    () => undefined,
    (error: Error) => error
  )

describe('the process and the thread of the durable log', () => {
  const options = {
    segmentBytes: 100_000,
    maxBytes: 10_000_000,
    minFreeBytes: 0,
    syncPuts: false,
    syncTakes: false,
    maxDeadLetterBytes: 1_000_000
  }
  let path: string
  afterEach(() => rmSync(path, { recursive: true, force: true }))

  const crashes: Error[] = []
  const warnings: [object, string][] = []
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'castellan-thread-'))
    crashes.length = 0
    warnings.length = 0
  })
  const open = (worker = logWorker, onCrash = (error: Error): unknown => crashes.push(error)): Promise<OpenedLog> => {
    const log = { ...silentLogger, warn: (fields: object, message: string) => warnings.push([fields, message]) }
    return openLogThread({ ...options, path }, { log: log as typeof silentLogger, onCrash, worker })
  }
  /** In memory of its own, as the log has it: Node moves none of its pool to another thread. */
  const entries = (...bodies: string[]): Buffer => {
    const encoded = bodies.map(body => encodeEntry('default/orders', Buffer.from(body), 5))
    const memory = Buffer.allocUnsafeSlow(encoded.reduce((sum, { length }) => sum + length, 0))
    Buffer.concat(encoded).copy(memory)
    return memory
  }

  const worker = logWorker ?? pathToFileURL(join(PROJECT, 'dist/log-worker.js'))
  /** The thread of the log, in which each look at the clock takes so long. */
  const slowThread = (stepMs: number): URL =>
    new URL(
      `data:text/javascript,${encodeURIComponent(`
        let nowMs = 0
        performance.now = () => (nowMs += ${stepMs})
        await import(${JSON.stringify(worker.href)})`)}`
    )
  const slowDisk = (): object[] =>
    warnings.flatMap(([fields, message]) => (/the disk took/.test(message) ? [fields] : []))

  it('warn of a disk that takes a second for a write, and not again within ten', async () => {
    const { host } = await open(slowThread(1_500))
    const counts: number[] = []
    for (let at = 0; at < 4; at++) {
      await host.call('commit', entries('a'))
      counts.push(slowDisk().length)
    }
    await host.call('close')
    expect(counts[0]).to.equal(1)
    expect(counts[1]).to.equal(1)
    expect(counts[3]).to.equal(2)
    expect((slowDisk()[0] as { tookMs: number }).tookMs).to.be.within(1_500, 30_000)
  })

  it('say nothing of a disk that is quicker', async () => {
    const { host } = await open(slowThread(200))
    for (let at = 0; at < 5; at++) await host.call('commit', entries('a'))
    await host.call('close')
    expect(slowDisk()).to.deep.equal([])
  })

  it('say the same to each other as in one place: every call has its answer', async () => {
    const { host, notes, report } = await open()
    expect([...notes]).to.deep.equal([])
    expect(report.openEntries).to.equal(0)
    expect(await host.call('look')).to.include({ state: 'ok', openEntries: 0, deadLetters: 0 })
    expect(await host.call('commit', entries('a', 'b'), entries('c', 'd', 'e'))).to.include({
      firstSequence: 1,
      committedCount: 5
    })
    expect(await host.call('complete', [{ first: 1, count: 1 }])).to.equal(1)
    expect(await host.call('note', [{ key: 'n', value: Buffer.from('v') }])).to.equal(true)
    expect(await host.call('sync')).to.equal(true)
    const { entries: found } = await host.call('read', { fromSequence: 1, maxBytes: 1_000 })
    expect(found.map(({ body }) => Buffer.from(body).toString())).to.deep.equal(['b', 'c', 'd', 'e'])
    expect(await host.call('backlog')).to.deep.equal(
      new Map([['default/orders', { firstSequence: 2, openEntries: 4 }]])
    )
    const search = { fromSequence: 1, cluster: 'default', except: new Set<string>(), maxDestinations: 5 }
    expect((await host.call('search', search)).destinations).to.deep.equal(new Map([['default/orders', 2]]))
    const reason = { code: 'MESSAGE_TOO_LARGE', message: 'too large', diedAtMs: 7 }
    expect(await host.call('deadLetter', found[0]!, reason)).to.equal(undefined)
    expect(await host.call('look')).to.include({ openEntries: 3, deadLetters: 1, completed: 2 })
    await host.call('close')
    const letters = [...readDeadLetters(new NodeDirectory(path))]
    expect(letters.map(({ body, ...rest }) => [body.toString(), rest.reason])).to.deep.equal([['b', reason]])
    const again = await open()
    expect([...again.notes].map(([key, value]) => [key, value.toString()])).to.deep.equal([['n', 'v']])
    expect(again.report.openEntries).to.equal(3)
    await again.host.call('close')
    expect(crashes).to.deep.equal([])
  })

  it('give memory back and forth: what was committed comes back as it stands in the log', async () => {
    const { host } = await open()
    const memory = entries('a')
    const committed = await host.call('commit', memory)
    expect(memory.buffer.byteLength, 'it belongs to the thread').to.equal(0)
    expect(committed.memory.map(({ length }) => length)).to.deep.equal([entries('a').length])
    await host.call('close')
  })

  it('tell each other why one call failed, and go on', async () => {
    const { host, notes } = await open(
      threadThat(`port.postMessage(call.name === 'close'
        ? { type: 'answer' } : call.name === 'sync'
        ? { type: 'failure', message: 'EIO: i/o error' } : { type: 'answer', value: 3 })`)
    )
    expect([...notes]).to.deep.equal([['a', Buffer.from([1])]])
    const [sync, complete] = await Promise.all([failureOf(host.call('sync')), host.call('complete', [])])
    expect(sync?.message).to.equal('EIO: i/o error')
    expect(complete).to.equal(3)
    expect(crashes).to.deep.equal([])
    await host.call('close')
  })

  it('write what an operator should know to the log of the process', async () => {
    const { host } = await open(
      threadThat(`port.postMessage({ type: 'report', fields: { segment: 'x' }, message: 'damaged' })
        port.postMessage({ type: 'answer', value: true })`)
    )
    await host.call('sync')
    expect(warnings).to.deep.equal([[{ segment: 'x' }, 'damaged']])
    await host.call('close')
  })

  it('tell each other of damage and of a disk that fails, with the reason', async () => {
    const { host } = await open()
    await host.call('commit', entries('a', 'b'))
    await host.call('close')
    const segment = join(path, '0000000000000001.slab')
    const bytes = readFileSync(segment)
    bytes[bytes.length - 1]! ^= 1
    bytes[64 + 40 + 'default/orders'.length]! ^= 1
    writeFileSync(segment, bytes)
    const again = (await open()).host
    // What the next segment would be called is taken.
    mkdirSync(join(path, '0000000000000002.slab'))
    expect(await again.call('commit', entries('c'))).to.include({ committedCount: 0 })
    await again.call('close')
    expect(warnings.map(([, message]) => message)).to.deep.equal([
      'entries of the durable log are damaged and cannot be delivered',
      'the durable log could not be written'
    ])
    expect(warnings[0]![0]).to.deep.equal({ damagedEntries: 1 })
    expect(warnings[1]![0]).to.include({ code: 'EEXIST' })
    expect(warnings[1]![0]).to.have.property('reason').that.contains('EEXIST')
  })

  for (const [how, code, message] of [
    ['throws', `throw new Error('out of memory')`, 'out of memory'],
    ['ends', 'process.exit(3)', 'the thread of the durable log ended with code 3']
  ] as const) {
    it(`part once when the thread ${how}: every call fails, those that wait and those that come`, async () => {
      let told: () => void = () => undefined
      const isTold = new Promise<void>(resolve => (told = resolve))
      const { host } = await open(threadThat(`if (call.name === 'sync') ${code}`), error => {
        crashes.push(error)
        told()
      })
      const waiting = [
        failureOf(host.call('complete', [])),
        failureOf(host.call('sync')),
        failureOf(host.call('backlog'))
      ]
      for (const failure of await Promise.all(waiting)) expect(failure?.message).to.equal(message)
      await isTold
      expect((await failureOf(host.call('commit', entries('late'))))?.message).to.equal(message)
      expect((await failureOf(host.call('close')))?.message).to.equal(message)
      expect(crashes.map(error => error.message)).to.deep.equal([message])
    })
  }

  it('part without a word when the process has asked for it', async () => {
    const { host } = await open(threadThat(`port.postMessage({ type: 'answer' }); setImmediate(() => process.exit(1))`))
    await host.call('close')
    // The end of the thread is known to those who ask later.
    let failure: Error | undefined
    while (failure === undefined) failure = await failureOf(host.call('sync'))
    expect(failure.message).to.equal('the thread of the durable log ended with code 1')
    expect(crashes).to.deep.equal([])
  })

  it('never open when the thread dies before', async () => {
    const failure = await failureOf(open(new URL(`data:text/javascript,throw new Error('no room')`)))
    expect(failure?.message).to.equal('no room')
    expect(crashes).to.deep.equal([])
  })

  it('part without a word when the directory cannot be used: a record that comes later tries again', async () => {
    writeFileSync(join(path, 'FORMAT'), 'castellan-log 9\n')
    expect((await failureOf(open()))?.message).to.contain('a log of another format')
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(crashes).to.deep.equal([])
  })

  it('end together: a closed log leaves no thread, and the directory as it should be', async () => {
    const { host } = await open()
    await host.call('commit', entries('a'))
    await host.call('close')
    let failure: Error | undefined
    while (failure === undefined) failure = await failureOf(host.call('sync'))
    expect(failure.message).to.equal('the thread of the durable log ended with code 0')
    expect(crashes).to.deep.equal([])
    expect(readdirSync(path).sort()).to.deep.equal(['0000000000000001.progress', '0000000000000001.slab', 'FORMAT'])
  })
})
