import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { KeyJournal } from '../../../src/producer/keys/key-journal.js'
import { NodeDirectory } from '../../../src/producer/log/node-files.js'
import { type OpenDurableLog, openDurableLog } from '../../../src/producer/log/open-durable-log.js'
import { setAside } from '../../../src/producer/log/quarantine.js'
import { recover } from '../../../src/producer/log/recovery.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import { defaultReceiptSettings, type ReceiptSettings } from '../../../src/producer/receipts/settings.js'
import { logWorker } from '../../support/built.js'
import { type Outcome, runCommand } from '../run-command.js'

describe('castellan wal', () => {
  let parent: string
  let directory: string
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'castellan-wal-'))
    directory = join(parent, 'wal')
  })
  afterEach(() => rmSync(parent, { recursive: true, force: true }))

  const fail = (error: unknown): never => {
    throw error
  }
  const wal = (...args: string[]): Promise<Outcome> => runCommand(['wal', ...args, '--directory', directory])
  const open = (receipts?: ReceiptSettings): Promise<OpenDurableLog> =>
    openDurableLog(walSettings.parse({ directory, segmentBytes: 64 * 1024 }), {
      log: silentLogger,
      receipts,
      now: () => 1_000,
      onBroken: () => undefined,
      worker: logWorker
    })

  async function append({ log }: OpenDurableLog, topic: string, values: readonly string[]): Promise<number> {
    const entries = values.map(value => ({
      destination: `default/${topic}`,
      record: { key: Buffer.from('k1'), value: Buffer.from(value), headers: [], timestampMs: 0 }
    }))
    return new Promise((resolve, reject) => {
      const refusal = log.append(entries, ({ firstSequence }) => resolve(firstSequence))
      if (refusal) reject(new Error(refusal.message))
    })
  }

  async function makeDeadLetter({ log }: OpenDurableLog, sequence: number): Promise<void> {
    const [entry] = (await log.read({ fromSequence: sequence, maxBytes: 1 })).entries
    await log.deadLetter(entry!, { code: 'MESSAGE_TOO_LARGE', message: 'too large\n\u001b[2J', diedAtMs: 2_000 })
  }

  /** Three records, the second of which is dead. */
  async function filled(receipts?: ReceiptSettings): Promise<OpenDurableLog> {
    const opened = await open(receipts)
    await append(opened, 'orders', ['one', 'two'])
    await append(opened, 'audit', ['three'])
    await makeDeadLetter(opened, 2)
    return opened
  }

  it('lists files and topics beside the gateway that uses the log', async () => {
    const opened = await filled()
    const files = await wal('ls')
    expect(files).to.include({ code: 0, stderr: '' })
    expect(files.stdout).to.match(/^SEGMENT +RECORDS +WAITING +DAMAGED +BYTES\n0000000000000001\.slab +3 +2 +0 +\d+\n/)
    expect(files.stdout).to.match(/\n2 records wait for 2 topics; 1 dead letters; .*; in use by a running process\n$/)
    const topics = await wal('ls', '--topics', '--format', 'json')
    expect(
      topics.stdout
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line))
    ).to.deep.equal([
      { cluster: 'default', topic: 'orders', waiting: 1, firstSequence: 1 },
      { cluster: 'default', topic: 'audit', waiting: 1, firstSequence: 3 }
    ])
    await opened.close()
    expect((await wal('ls')).stdout).to.match(/; not in use\n$/)
  })

  describe('with workers', () => {
    /** Of two workers: the first has two records, the second three, one of which is dead. */
    beforeEach(async () => {
      const root = directory
      directory = join(root, 'worker-1')
      const first = await open()
      await append(first, 'orders', ['one', 'two'])
      await first.close()
      directory = join(root, 'worker-10')
      await (await filled()).close()
      directory = root
    })

    it('lists files and topics of each, and says whose they are', async () => {
      const files = await wal('ls')
      expect(files).to.include({ code: 0, stderr: '' })
      expect(files.stdout).to.match(/^LOG +SEGMENT .*\nworker-1 +0+1\.slab +2 +2 .*\nworker-10 +0+1\.slab +3 +2 /)
      expect(files.stdout).to.match(/\nworker-1: 2 records wait for 1 topics; 0 dead letters;/)
      expect(files.stdout).to.match(/\nworker-10: 2 records wait for 2 topics; 1 dead letters;/)
      const topics = await wal('ls', '--topics', '--format', 'json')
      const [topic] = topics.stdout.split('\n')
      expect(JSON.parse(topic!)).to.deep.equal({
        log: 'worker-1',
        cluster: 'default',
        topic: 'orders',
        waiting: 2,
        firstSequence: 1
      })
    })

    it('finds dead letters and damage of each', async () => {
      expect((await wal('dead-letters')).stdout).to.match(/^LOG +SEQUENCE .*\nworker-10 +1 +default +orders /)
      const json = JSON.parse((await wal('dead-letters', '--format', 'json')).stdout) as object
      expect(json).to.deep.include({ log: 'worker-10', sequence: 1, value: 'two' })
      expect(await wal('verify')).to.include({ code: 0 })
    })

    it('puts all dead letters back, and single ones of the log that is named', async () => {
      const refused = await wal('replay', '1')
      expect(refused.code).to.equal(2)
      expect(refused.stderr).to.contain(`--directory ${join(directory, 'worker-1')} or ${join(directory, 'worker-10')}`)
      expect(await wal('replay', '--all')).to.include({ code: 0, stdout: '1 dead letters are back in the log\n' })
      expect((await wal('dead-letters', '--format', 'json')).stdout).to.equal('')
    })
  })

  it('finds damage, and says so by its exit code', async () => {
    await (await filled()).close()
    expect(await wal('verify')).to.include({ code: 0, stderr: '' })
    const segment = join(directory, '0000000000000001.slab')
    const bytes = readFileSync(segment)
    bytes[bytes.indexOf('three')]! ^= 1
    writeFileSync(segment, bytes)
    const { code, stdout, stderr } = await wal('verify')
    expect(code).to.equal(1)
    expect(stdout).to.match(/\.slab +3 +2 +1 /)
    expect(stderr).to.match(/^castellan wal verify: 1 records in .* are damaged; the others are delivered\n$/)
  })

  it('finds one flipped bit in each file of the log', async () => {
    await (await filled()).close()
    const flips: readonly (readonly [name: string, at: number, told: RegExp])[] = [
      ['FORMAT', 2, /^damaged files: FORMAT$/],
      // The start sets its records aside, and how many there are is an upper bound.
      ['0000000000000001.slab', 20, /^\d+ records in .* are damaged; the others are delivered$/],
      ['0000000000000001.progress', 45, /^damaged files: 0000000000000001\.progress$/]
    ]
    for (const [name, at, told] of flips) {
      const file = join(directory, name)
      const whole = readFileSync(file)
      const flipped = Buffer.from(whole)
      flipped[at]! ^= 1
      writeFileSync(file, flipped)
      const { code, stderr } = await wal('verify')
      expect(code).to.equal(1)
      expect(stderr.replace('castellan wal verify: ', '').trimEnd()).to.match(told)
      writeFileSync(file, whole)
    }
  })

  it('writes records that are set aside to a file, and puts them back into the log of a stopped gateway, once', async () => {
    const opened = await filled()
    const out = join(parent, 'records.jsonl')
    expect((await wal('salvage')).code).to.equal(2)
    expect((await wal('salvage', '--append')).stderr).to.contain('another process uses the durable log')
    await opened.close()
    const place = new NodeDirectory(directory)
    setAside(place, recover(place).segments[0]!)
    expect((await wal('verify')).code).to.equal(1)
    const nowhere = await wal('salvage', '--out', join(parent, 'none', 'out'))
    expect(nowhere.code).to.equal(1)
    expect(nowhere.stderr).to.match(/^castellan wal salvage: ENOENT: [^\n]*\n$/)
    const written = await wal('salvage', '--out', out)
    expect(written).to.include({ code: 0, stdout: `2 records were written to ${out}\n` })
    const lines = readFileSync(out, 'utf8').trimEnd().split('\n')
    expect(lines.map(line => JSON.parse(line))).to.deep.include.members([
      {
        sequence: 3,
        cluster: 'default',
        topic: 'audit',
        accepted: '1970-01-01T00:00:01.000Z',
        timestampMs: 0,
        key: 'k1',
        value: 'three',
        headers: []
      }
    ])
    const put = await runCommand(['wal', 'salvage', directory, '--append'])
    expect(put).to.include({ code: 0, stdout: '0000000000000001.slab: 2 records are back in the log\n' })
    expect(await wal('salvage', '--append')).to.include({ code: 0, stdout: '' })
    const again = await open()
    const { entries } = await again.log.read({ fromSequence: 1, maxBytes: 10_000 })
    expect(entries.map(({ sequence }) => sequence)).to.deep.equal([1, 3])
    await again.close()
  })

  it('names damaged files of receipts and keys', async () => {
    const opened = await filled(defaultReceiptSettings)
    const keys = new KeyJournal({ directory: opened.directory, fileBytes: 1e6, newSalt: () => 7, onFailure: fail })
    keys.begin()
    for (const name of ['a', 'b', 'c'])
      keys.add({ hash: name.repeat(16), fingerprint: 'f'.repeat(8), atMs: 1 }, { type: 'ended' })
    keys.close()
    await opened.close()
    expect(await wal('verify')).to.include({ code: 0, stderr: '' })
    for (const [folder, suffix] of [
      ['receipts', '.places'],
      ['keys', '.keys']
    ] as const) {
      const [name] = readdirSync(join(directory, folder)).filter(file => file.endsWith(suffix))
      const file = join(directory, folder, name!)
      const bytes = readFileSync(file)
      bytes[bytes.indexOf(folder === 'keys' ? 'bbbb' : 'too large')]! ^= 1
      writeFileSync(file, bytes)
      const { code, stderr } = await wal('verify')
      expect(code).to.equal(1)
      expect(stderr).to.contain('damaged files: ')
      expect(stderr).to.contain(name!.slice(0, 16))
    }
  })

  it('lists dead letters with their reasons, safe for a terminal, and with everything as JSON', async () => {
    const opened = await filled()
    const table = await wal('dead-letters')
    expect(table.stdout).to.match(
      /\n +1 +default +orders +1970-01-01T00:00:02\.000Z +\d+ +MESSAGE_TOO_LARGE +too large\\n/
    )
    const json = JSON.parse((await wal('dead-letters', '--format', 'json')).stdout) as object
    expect(json).to.deep.include({ sequence: 1, topic: 'orders', key: 'k1', value: 'two', code: 'MESSAGE_TOO_LARGE' })
    await opened.close()
  })

  it('puts dead letters back, but not under a gateway that is running', async () => {
    const opened = await filled()
    const refused = await wal('replay', '--all')
    expect(refused.code).to.equal(1)
    expect(refused.stderr).to.match(/^castellan wal replay: another process uses the durable log in [^\n]*\n$/)
    await opened.close()
    expect(await wal('replay', '1')).to.include({ code: 0, stdout: '1 dead letters are back in the log\n', stderr: '' })
    expect((await wal('dead-letters', '--format', 'json')).stdout).to.equal('')
    const again = await open()
    const { entries } = await again.log.read({ fromSequence: 1, maxBytes: 1_000_000 })
    expect(entries.map(({ destination, acceptedAtMs }) => [destination, acceptedAtMs])).to.deep.equal([
      ['default/orders', 1_000],
      ['default/audit', 1_000],
      ['default/orders', 1_000]
    ])
    await again.close()
  })

  it('forgets dead letters that are named, and says which are none', async () => {
    await (await filled()).close()
    const { code, stdout, stderr } = await wal('discard', '1', '7')
    expect([code, stdout]).to.deep.equal([1, '1 dead letters were deleted\n'])
    expect(stderr).to.match(/^1 of the sequences are no dead letters/)
    expect(await wal('replay', '--all')).to.include({ code: 0, stdout: '0 dead letters are back in the log\n' })
  })

  it('wants sequences or --all, and an existing log', async () => {
    expect((await wal('replay', '--all')).stderr).to.match(/^castellan wal replay: there is no durable log in /)
    expect(existsSync(directory)).to.equal(false)
    expect(await wal('replay')).to.include({ code: 2 })
    expect(await wal('replay', '--all', '3')).to.include({ code: 2 })
    expect(await wal('replay', 'x')).to.include({ code: 2 })
    expect(readdirSync(parent)).to.deep.equal([])
  })
})
