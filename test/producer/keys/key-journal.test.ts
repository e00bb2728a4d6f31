import { expect } from 'chai'
import sinon from 'sinon'
import type { KeyName } from '../../../src/producer/keys/key-frames.js'
import { KeyJournal } from '../../../src/producer/keys/key-journal.js'
import { KeyedRecords } from '../../../src/producer/keys/keyed-records.js'
import { LoggedRecords } from '../../../src/producer/keys/logged-records.js'
import { KEYS_DIRECTORY, type LogFile } from '../../../src/producer/log/files.js'
import { enospc, SimulatedDisk } from '../../support/simulated-disk.js'

const FINGERPRINT = 'f'.repeat(8)
const keyOf = (name: string): KeyName => ({ hash: name.padEnd(16), fingerprint: FINGERPRINT, atMs: 1_000_000 })

describe('a journal of keys whose disk takes nothing for a while', () => {
  let clock: sinon.SinonFakeTimers
  let disk: SimulatedDisk
  let journal: KeyJournal
  let logged: LoggedRecords
  let known: Map<string, KeyedRecords>
  let failures: number
  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: 1_000_000 })
    disk = new SimulatedDisk()
    failures = 0
    journal = open()
    journal.begin()
    logged = new LoggedRecords()
    logged.journal = journal
    known = new Map()
  })
  afterEach(() => {
    disk.faults.before = () => undefined
    journal.close()
    clock.restore()
  })

  const open = (): KeyJournal =>
    new KeyJournal({
      directory: disk.directory,
      fileBytes: 65_536,
      newSalt: () => 7,
      maxWaiting: 20,
      onFailure: () => failures++
    })
  const isFull = (full: boolean): void => {
    disk.faults.before = operation => {
      if (full && (operation === 'write' || operation === 'create')) throw enospc()
    }
  }
  const recordsOf = (name: string): KeyedRecords => {
    const records = known.get(name) ?? new KeyedRecords(keyOf(name))
    known.set(name, records)
    return records
  }
  const stored = (name: string, sequence: number): void => {
    logged.stored(recordsOf(name), 0, sequence)
    logged.flush()
  }
  /** What another process finds: the keys whose records are in the journal, and from where the log has to be read. */
  const found = (): { readonly names: string[]; readonly bound: number } => {
    const other = open()
    const names = [...other.read()].filter(({ news }) => news.type === 'stored').map(({ key }) => key.hash.trim())
    return { names, bound: other.bound }
  }

  it('says of no record that it is there before it is', () => {
    stored('a', 1)
    isFull(true)
    stored('b', 2)
    isFull(false)
    stored('c', 3)
    expect(found()).to.deep.equal({ names: ['a'], bound: 2 })
  })

  it('has everything in its order when the disk takes it again', async () => {
    isFull(true)
    stored('a', 1)
    stored('b', 2)
    await clock.tickAsync(5_000)
    isFull(false)
    stored('c', 3)
    expect(failures).to.be.within(5, 7)
    await clock.tickAsync(1_000)
    stored('d', 4)
    expect(found()).to.deep.equal({ names: ['a', 'b', 'c', 'd'], bound: 5 })
  })

  it('answers requests meanwhile, and notes later where their answers are', async () => {
    isFull(true)
    const places: (object | undefined)[] = []
    const answer = { status: 200, headers: [], body: Buffer.from('yes') }
    for (const name of ['a', 'b']) {
      journal.add(keyOf(name), { type: 'answered', answer }, undefined, place => places.push(place))
      journal.flush()
    }
    expect(places).to.deep.equal([undefined, undefined])
    isFull(false)
    await clock.tickAsync(1_000)
    const [one, other] = places.slice(-2) as { file: number; offset: number; sizeBytes: number }[]
    expect(journal.answerAt(one!)).to.deep.equal(answer)
    expect(other!.offset).to.be.above(one!.offset)
  })

  it('lets the log be read from the first record of which it has nothing', async () => {
    isFull(true)
    for (let sequence = 1; sequence <= 30; sequence++) {
      logged.stored(recordsOf(`${sequence % 3}`), sequence, sequence)
    }
    logged.flush()
    await clock.tickAsync(2_000)
    isFull(false)
    await clock.tickAsync(2_000)
    const { names, bound } = found()
    expect(names).to.have.length(20)
    expect(bound).to.equal(1)
  })
})

describe('a damaged journal of keys', () => {
  let disk: SimulatedDisk
  let damaged: string[]
  beforeEach(() => {
    disk = new SimulatedDisk()
    damaged = []
    const journal = open()
    journal.begin()
    for (const at of [1, 2, 3]) {
      journal.add(keyOf(`${at}`), { type: 'stored', index: 0, sequence: at, count: 1 }, undefined, () => undefined)
      journal.flush()
    }
    journal.close()
  })

  const open = (): KeyJournal =>
    new KeyJournal({
      directory: disk.directory,
      fileBytes: 65_536,
      newSalt: () => 7,
      onFailure: error => expect.fail(String(error)),
      onDamage: file => damaged.push(file)
    })
  const read = (): string[] => [...open().read()].map(({ key }) => key.hash.trim())
  const edit = (change: (file: LogFile) => void): string => {
    const directory = disk.directory.directory(KEYS_DIRECTORY)
    const [name] = directory.list()
    const file = directory.open(name!, 'write')
    change(file)
    file.close()
    return name!
  }
  const flip = (at: number) => (file: LogFile) => {
    const [byte] = file.read(at, 1)
    file.write(Buffer.of(byte! ^ 1), at)
  }

  it('says nothing of one that is whole, or that ends in the middle of a write', () => {
    expect([read(), damaged]).to.deep.equal([['1', '2', '3'], []])
    edit(file => file.truncate(file.sizeBytes - 1))
    expect([read(), damaged]).to.deep.equal([['1', '2'], []])
  })

  it('names the file whose header is damaged', () => {
    const name = edit(flip(2))
    expect([read(), damaged]).to.deep.equal([[], [name]])
  })

  it('names the file that has whole frames behind a damaged one', () => {
    const name = edit(file => flip(Math.floor(file.sizeBytes / 2))(file))
    expect([read(), damaged]).to.deep.equal([['1'], [name]])
  })
})
