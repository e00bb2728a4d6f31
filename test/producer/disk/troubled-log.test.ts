import { expect } from 'chai'
import { type Logger, type RecordFailure, silentLogger } from '../../../src/core/model.js'
import { BatchNotes, type SentBatch } from '../../../src/producer/disk/batch-notes.js'
import { RecordOutcomes } from '../../../src/producer/disk/record-outcomes.js'
import { refuse } from '../../../src/producer/log/availability.js'
import type { DurableLog } from '../../../src/producer/log/durable-log.js'
import type { StoredEntry } from '../../../src/producer/log/entry.js'
import type { LogReadRequest } from '../../../src/producer/log/entry-reader.js'
import { readDeadLetters } from '../../../src/producer/log/inspect.js'
import { record } from '../../support/delivery-stage.js'
import { DurableStage } from '../durable-stage.js'

const entryOf = (sequence: number, destination = 'default/orders'): StoredEntry => ({
  sequence,
  destination,
  acceptedAtMs: 0,
  body: Buffer.alloc(0)
})

/** Keeps the lines of these levels. */
function keeping(lines: string[]): Logger {
  const keep = (_: object, message: string): number => lines.push(message)
  return { ...silentLogger, warn: keep, error: keep } as unknown as Logger
}

describe('durable: a log that fails for a while', () => {
  let stage: DurableStage
  let lines: string[]
  beforeEach(async () => {
    lines = []
    stage = new DurableStage({ topics: { orders: 1 }, log: keeping(lines) })
    await stage.start()
    stage.send(record('orders', 'before'))
    await stage.pass(100)
  })
  afterEach(() => stage.restore())
  const values = (): (string | null)[] => stage.router.values('orders')

  it('does not stop batches that cannot be noted, and says what that may cost', async () => {
    expect(lines).to.deep.equal([])
    stage.failing.add('note')
    stage.send(record('orders', 'A'))
    await stage.pass(100)
    expect(values()).to.deep.equal(['before', 'A'])
    expect(lines).to.deep.equal(['batches could not be noted: after a crash they may be in Kafka twice'])
    stage.failing.clear()
    stage.send(record('orders', 'B'))
    await stage.pass(100)
    expect([values(), lines.length]).to.deep.equal([['before', 'A', 'B'], 1])
  })

  it('keeps a record that Kafka refuses where it is, and what comes behind it, until it can be a dead letter', async () => {
    stage.router.partition('orders', 0).poison.add('poison')
    stage.failing.add('deadLetter')
    const sent = ['poison', 'A'].map(value => stage.send(record('orders', value), 60_000))
    await stage.pass(3_000)
    expect(values()).to.deep.equal(['before'])
    const ofLetters = lines.filter(line => line === 'a record that Kafka refuses could not become a dead letter')
    expect(ofLetters.length, 'tried again and again').to.be.above(1)
    expect(sent[0]!.outcomes).to.equal(undefined)
    stage.failing.clear()
    await stage.pass(10_000)
    expect(values()).to.deep.equal(['before', 'A'])
    expect(sent.map(({ outcomes }) => outcomes?.[0]?.type)).to.deep.equal(['failed', 'delivered'])
    expect([...readDeadLetters(stage.disk.directory)]).to.have.length(1)
  })

  it('is read again when it can be, also for the batch that another process has sent', async () => {
    const { script } = stage.router.partition('orders', 0)
    script.push({ type: 'loseRequest' })
    stage.send(record('orders', 'A'))
    await stage.pass(4)
    stage.kill()
    stage.failing.add('read')
    await stage.start()
    await stage.pass(5_000)
    expect(values()).to.deep.equal(['before'])
    expect(lines).to.include('a batch could not be read from the durable log')
    stage.failing.clear()
    stage.send(record('orders', 'B'))
    await stage.pass(5_000)
    expect(values()).to.deep.equal(['before', 'A', 'B'])
  })

  it('is looked through for topics when it can be', async () => {
    stage.router.isAway = true
    stage.send(record('orders', 'A'))
    await stage.pass(100)
    stage.router.isAway = false
    stage.kill()
    stage.failing.add('search')
    await stage.start()
    await stage.pass(4_000)
    expect(values()).to.deep.equal(['before'])
    expect(lines).to.deep.equal(['the durable log could not be looked through for topics; trying again'])
    stage.failing.clear()
    await stage.pass(6_000)
    expect(values()).to.deep.equal(['before', 'A'])
  })
})

describe('durable: a batch that was sent and is read again from the log', () => {
  let reads: LogReadRequest[]
  let answers: { entries: StoredEntry[]; nextSequence: number; isAtEnd: boolean }[]
  let completed: number[]
  let damagedEntries: number
  let wasIntact: boolean
  let notes: BatchNotes
  beforeEach(() => {
    reads = []
    answers = []
    completed = []
    damagedEntries = 0
    wasIntact = true
    const log = {
      read: async (request: LogReadRequest) => {
        reads.push(request)
        return answers.shift() ?? { entries: [], nextSequence: 1_000, isAtEnd: true }
      },
      look: async () => ({ damagedEntries, quarantinedSegments: 0 }),
      complete: (sequence: number) => completed.push(sequence)
    }
    notes = new BatchNotes({
      log: silentLogger,
      opened: () => ({ wal: log as unknown as DurableLog, isIntact: wasIntact }),
      cluster: { clusterId: 'cluster-1', awayBecause: undefined },
      topicOf: () => undefined
    })
  })
  const batchOf = (...sequences: number[]): SentBatch => ({
    clusterId: 'cluster-1',
    topicId: '',
    numbering: undefined,
    partitionCount: 1,
    sequences
  })
  const readAgain = (...sequences: number[]) => notes.readAgain('default/orders', batchOf(...sequences))
  const sequencesOf = (entries: readonly StoredEntry[]): number[] => entries.map(({ sequence }) => sequence)

  it('comes piece by piece, from the first to the last of its records, and with no others', async () => {
    answers.push(
      { entries: [entryOf(5), entryOf(6)], nextSequence: 7, isAtEnd: false },
      { entries: [entryOf(7), entryOf(8), entryOf(9)], nextSequence: 10, isAtEnd: false }
    )
    const { entries, isWhole } = await readAgain(5, 7, 9)
    expect([sequencesOf(entries), isWhole]).to.deep.equal([[5, 7, 9], true])
    expect(reads.map(({ fromSequence, destinations }) => [fromSequence, destinations])).to.deep.equal([
      [5, new Map([['default/orders', 5]])],
      [7, new Map([['default/orders', 7]])]
    ])
    expect(reads[0]!.maxBytes).to.equal(1024 * 1024)
    expect(completed).to.deep.equal([])
  })

  it('is empty when none of its records is in the log any more', async () => {
    expect(await readAgain(5, 9)).to.deep.equal({ entries: [], isWhole: true })
    expect(reads).to.have.length(1)
    expect(await readAgain()).to.deep.equal({ entries: [], isWhole: true })
    expect([reads.length, completed]).to.deep.equal([1, []])
  })

  it('is given whole by one read if it is a single record', async () => {
    answers.push({ entries: [entryOf(5)], nextSequence: 6, isAtEnd: false })
    expect(sequencesOf((await readAgain(5)).entries)).to.deep.equal([5])
    expect(reads).to.have.length(1)
  })

  const inPart = (): void => void answers.push({ entries: [entryOf(5), entryOf(9)], nextSequence: 10, isAtEnd: true })

  it('is in Kafka when some of its records are completed and nothing was ever lost', async () => {
    inPart()
    expect(await readAgain(5, 7, 9)).to.deep.equal({ entries: [], isWhole: true })
    expect(completed).to.deep.equal([5, 9])
  })

  for (const loss of ['now', 'before it was opened'] as const) {
    it(`is sent under another number when damage may have taken its other records ${loss}`, async () => {
      if (loss === 'now') damagedEntries = 1
      else wasIntact = false
      inPart()
      const { entries, isWhole } = await readAgain(5, 7, 9)
      expect([sequencesOf(entries), isWhole, completed]).to.deep.equal([[5, 9], false, []])
    })
  }
})

describe('durable: a record that becomes a dead letter', () => {
  let entries: StoredEntry[]
  let letters: [sequence: number, reason: unknown][]
  let reads: LogReadRequest[]
  let lines: string[]
  let answer: () => ReturnType<DurableLog['deadLetter']>
  let outcomes: RecordOutcomes
  beforeEach(() => {
    entries = [entryOf(7)]
    letters = []
    reads = []
    lines = []
    answer = async () => undefined
    const log = {
      read: async (request: LogReadRequest) => {
        reads.push(request)
        return { entries, nextSequence: 8, isAtEnd: true }
      },
      deadLetter: ({ sequence }: StoredEntry, reason: unknown) => {
        letters.push([sequence, reason])
        return answer()
      }
    }
    const opened = () => ({ wal: log as unknown as DurableLog })
    outcomes = new RecordOutcomes({ log: keeping(lines), opened, now: () => 4_321 })
  })
  const failure = (errorCode: number | undefined): RecordFailure => ({
    type: 'failed',
    code: 'recordTooLarge',
    errorCode,
    message: 'too large',
    persisted: 'no',
    retriable: false
  })

  it('is kept with what Kafka calls the reason, or what we do where Kafka has no code', async () => {
    expect(await outcomes.deadLetter(7, failure(10))).to.equal(true)
    expect(await outcomes.deadLetter(7, failure(undefined))).to.equal(true)
    expect(letters).to.deep.equal([
      [7, { code: 'MESSAGE_TOO_LARGE', message: 'too large', diedAtMs: 4_321, persisted: 'no' }],
      [7, { code: 'recordTooLarge', message: 'too large', diedAtMs: 4_321, persisted: 'no' }]
    ])
    expect(reads[0]).to.deep.equal({ fromSequence: 7, maxBytes: 1 })
    expect(outcomes.deadLetters).to.equal(2)
  })

  it('is told once to its partition', async () => {
    expect(outcomes.settleDeadLetter(7, failure(10))).to.equal(false)
    await outcomes.deadLetter(7, failure(10))
    expect([7, 8, 7].map(sequence => outcomes.settleDeadLetter(sequence, failure(10)))).to.deep.equal([
      true,
      false,
      false
    ])
  })

  it('stays in the log when it cannot be kept', async () => {
    answer = async () => refuse('full', 'dead letters are full')
    expect(await outcomes.deadLetter(7, failure(10))).to.equal(false)
    answer = async () => {
      throw new Error('EIO')
    }
    expect(await outcomes.deadLetter(7, failure(10))).to.equal(false)
    expect([outcomes.deadLetters, outcomes.settleDeadLetter(7, failure(10)), lines.length]).to.deep.equal([0, false, 2])
    expect(lines[0]).to.contain('dead letters are full')
  })

  it('is done with when it is not in the log any more: damage took it, or it is completed', async () => {
    entries = [entryOf(8)]
    expect(await outcomes.deadLetter(7, failure(10))).to.equal(true)
    expect([letters, outcomes.settleDeadLetter(7, failure(10))]).to.deep.equal([[], true])
  })
})
