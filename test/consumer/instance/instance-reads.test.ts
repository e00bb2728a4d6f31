import { expect } from 'chai'
import type { GroupRuntime } from '../../../src/consumer/group/group-runtime.js'
import type { InstancePartition, Taking } from '../../../src/consumer/instance/instance-partition.js'
import { InstanceReads } from '../../../src/consumer/instance/instance-reads.js'
import type { InstanceRead, InstanceRecord, InstanceResult } from '../../../src/consumer/instance/instances.js'
import { noop } from '../../../src/core/ending.js'
import { type HeldRecords, RecordBudget } from '../../../src/core/record-budget.js'
import { collectGarbage } from '../../support/held-bytes.js'
import { instanceSettings } from '../../support/instances.js'
import { turns } from '../../support/ticks.js'

describe('a read of an instance that has ended', () => {
  it('is not held by the fetch of an empty partition, which the Router keeps for as long as it likes', async () => {
    const wanted: (() => boolean)[] = []
    const due = new Set<() => void>()
    const record = { topic: 't', partition: 0, offset: 0, value: Buffer.alloc(1_000) } as unknown as InstanceRecord
    let left: InstanceRecord | undefined = record
    const partition = {
      epoch: 0,
      taken: 1,
      forgetProblem: () => undefined,
      accept: () => undefined,
      take: ({ records }: Taking) => {
        if (left !== undefined) records.push(left)
        left = undefined
      },
      readAhead: () => undefined,
      fetch: (_: number, isWanted: () => boolean) => wanted.push(isWanted)
    }
    const reads = new InstanceReads({
      runtime: {
        clock: () => 0,
        after: (_: number, run: () => void) => {
          due.add(run)
          return { cancel: () => due.delete(run) }
        }
      } as unknown as GroupRuntime,
      settings: instanceSettings,
      partitions: new Map([['t/0', partition as unknown as InstancePartition]]),
      tick: run => run(),
      records: new RecordBudget(1_000_000, () => 0),
      client: undefined,
      refusal: () => undefined,
      onSettled: () => undefined
    })
    const answered = (): WeakRef<object> => {
      let held: WeakRef<object> | undefined
      reads.add({
        maxWaitMs: 1_000,
        maxBytes: 1_000,
        gone: undefined,
        reply: result => {
          if (result.type !== 'done') return
          held = new WeakRef(result.value.records)
          result.value.settle(1)
        }
      })
      expect(wanted.map(isWanted => isWanted())).to.deep.equal([true])
      for (const run of due) run()
      expect(due.size).to.equal(0)
      return held!
    }
    const records = answered()
    // What a weak reference points to is kept until the turn in which that was made is over.
    await turns(2)
    collectGarbage()
    expect([records.deref() === undefined, wanted.map(isWanted => isWanted())]).to.deep.equal([true, [false]])
  })
})

describe('a read of an instance whose partition fails', () => {
  it('has what it holds counted', () => {
    const budget = new RecordBudget(1_000, () => 0)
    const take = (taking: Taking): void => {
      taking.heldBytes += 200
      throw new Error('broken')
    }
    const partition = { forgetProblem: () => undefined, nextHeldBytes: 200, take } as unknown as InstancePartition
    const reads = new InstanceReads({
      runtime: { clock: () => 0, after: () => ({ cancel: () => undefined }) } as unknown as GroupRuntime,
      settings: instanceSettings,
      partitions: new Map([['t/0', partition]]),
      tick: run => run(),
      records: budget,
      client: undefined,
      refusal: () => undefined,
      onSettled: () => undefined
    })
    const request = { maxWaitMs: 1_000, maxBytes: 1_000, gone: undefined, reply: () => undefined }
    expect(() => reads.add(request)).to.throw('broken')
    expect(budget.freeBytes).to.equal(800)
    reads.stop()
    expect(budget.freeBytes).to.equal(1_000)
  })
})

describe('a read of an instance that waits for free bytes', () => {
  const LIMIT_MS = 1_000
  let budget: RecordBudget
  let others: HeldRecords
  /** Records in memory of the partition that has some. */
  let inMemory: InstanceRecord[]
  let fetches: number
  let timers: Map<() => void, number>
  let reads: InstanceReads
  let empty: InstancePartition
  let answer: InstanceResult<InstanceRead> | undefined
  const partitionOf = (own: InstanceRecord[], fetch: () => void): InstancePartition => {
    const take = (taking: Taking): void => void taking.records.push(...own.splice(0))
    const partition = { epoch: 0, taken: 1, forgetProblem: noop, fetch, readAhead: noop, take }
    const nextHeldBytes = { get: () => (own.length > 0 ? 200 : undefined) }
    return Object.defineProperty(partition, 'nextHeldBytes', nextHeldBytes) as unknown as InstancePartition
  }
  const runTimers = (ofLimit: boolean): void => {
    for (const [run, ms] of [...timers]) if (ms >= LIMIT_MS === ofLimit) run()
  }

  beforeEach(() => {
    budget = new RecordBudget(1_000, () => 0)
    others = budget.hold(1_000, 'others')
    inMemory = [{ topic: 't', partition: 0, offset: 0 } as InstanceRecord]
    fetches = 0
    timers = new Map()
    answer = undefined
    empty = partitionOf([], noop)
    const after = (ms: number, run: () => void) => {
      timers.set(run, ms)
      return { cancel: () => timers.delete(run) }
    }
    reads = new InstanceReads({
      runtime: { clock: () => 0, after } as unknown as GroupRuntime,
      settings: instanceSettings,
      partitions: new Map([
        ['t/0', partitionOf(inMemory, () => fetches++)],
        ['t/1', empty]
      ]),
      tick: run => run(),
      records: budget,
      client: undefined,
      refusal: () => undefined,
      onSettled: () => undefined
    })
    reads.add({ maxWaitMs: LIMIT_MS, maxBytes: 1_000, gone: undefined, reply: result => (answer = result) })
    reads.proceed(empty)
    expect([budget.isShort, answer]).to.deep.equal([true, undefined])
  })
  afterEach(() => {
    reads.stop()
    others.release()
  })

  it('goes on to wait when a partition without records has changed, and gets the record when there are some', async () => {
    others.release()
    await turns(2)
    runTimers(false)
    expect(answer).to.have.nested.property('value.records.length', 1)
  })

  it('fetches again what was dropped from memory meanwhile, and is not refused when it is no longer there', async () => {
    // Other partitions may need the memory.
    inMemory.length = 0
    const before = fetches
    others.release()
    await turns(2)
    expect([fetches, budget.isShort]).to.deep.equal([before + 1, false])
    reads.proceed(empty)
    runTimers(true)
    expect(answer).to.have.nested.property('value.records.length', 0)
  })

  it('is refused at its end when a record that was dropped from memory still has no free bytes', () => {
    inMemory.length = 0
    reads.proceed(empty)
    runTimers(true)
    expect(answer).to.include({ type: 'failed', code: 'overloaded' })
  })
})

describe('a read of an instance whose records another process gets', () => {
  const BYTES = 900
  for (const accepted of [0, 1, 2]) {
    it(`counts them until then, and settles as before: ${accepted} of 2`, () => {
      let left = true
      const told: string[] = []
      const budget = new RecordBudget(1_000, () => 0)
      const partition = {
        epoch: 0,
        taken: 2,
        nextHeldBytes: BYTES,
        forgetProblem: () => undefined,
        readAhead: () => undefined,
        accept: (end: number) => told.push(`accepted until ${end}`),
        reject: () => told.push('comes again'),
        take: (taking: Taking) => {
          for (const offset of left ? [0, 1] : [])
            taking.records.push({ topic: 't', partition: 0, offset } as InstanceRecord)
          if (left) taking.heldBytes += BYTES
          left = false
        },
        fetch: () => undefined
      } as unknown as InstancePartition
      const due = new Set<() => void>()
      const after = (_: number, run: () => void) => {
        due.add(run)
        return { cancel: () => due.delete(run) }
      }
      const reads = new InstanceReads({
        runtime: { clock: () => 0, after } as unknown as GroupRuntime,
        settings: instanceSettings,
        partitions: new Map([['t/0', partition]]),
        tick: run => run(),
        records: budget,
        client: 'a',
        refusal: () => undefined,
        onSettled: () => told.push('settled')
      })
      let read: InstanceRead | undefined
      const reply = (result: InstanceResult<InstanceRead>): void => {
        if (result.type === 'done') read = result.value
      }
      reads.add({ maxWaitMs: 1_000, maxBytes: 1_000, gone: undefined, reply })
      if (read === undefined) for (const run of [...due]) run()
      expect(budget.heldBytes).to.equal(BYTES)
      read!.passedOn!()
      expect([budget.heldBytes, told]).to.deep.equal([0, []])
      read!.settle(accepted)
      const outcome = accepted === 0 ? 'comes again' : `accepted until ${accepted}`
      expect([budget.heldBytes, told]).to.deep.equal([0, [outcome, 'settled']])
    })
  }
})
