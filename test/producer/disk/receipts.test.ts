import { expect } from 'chai'
import { UnavailableError } from '../../../src/core/errors.js'
import { DurableReceipts } from '../../../src/producer/disk/durable-receipts.js'
import type { DurableLog } from '../../../src/producer/log/durable-log.js'
import { salvageLog } from '../../../src/producer/log/salvage.js'
import { ReceiptDesk, type ReceiptReply } from '../../../src/verbs/receipts.js'
import { record } from '../../support/delivery-stage.js'
import { eio } from '../../support/simulated-disk.js'
import { DurableStage } from '../durable-stage.js'
import { storeOptions } from '../log/stage.js'

const NONE = 3

describe('durable: receipts', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  const started = async (options: ConstructorParameters<typeof DurableStage>[0] = {}): Promise<void> => {
    stage = new DurableStage({ topics: { orders: 1 }, ...options })
    await stage.start()
  }
  const ask = (id: string | undefined, waitMs = 0, principal = 'anonymous'): Promise<ReceiptReply> =>
    new ReceiptDesk(stage.receipts).read({ id: id!, principals: [principal], waitMs })
  const states = async (id: string | undefined): Promise<unknown[]> => {
    const reply = await ask(id)
    return reply.type === 'found' ? [...reply.records] : [reply.type]
  }
  const inKafka = (offset: number, timestampMs = 1_000_000) => ({
    state: 'inKafka',
    topic: 'orders',
    partition: 0,
    offset,
    timestampMs
  })

  it('tell where Kafka has the records, in the order of their request', async () => {
    await started()
    const first = stage.send(record('orders', 'A'))
    const second = stage.send([record('orders', 'B'), record('orders', 'C')])
    await stage.pass(1_000)
    expect(await states(first.holder.receipt)).to.deep.equal([inKafka(0)])
    expect(await ask(second.holder.receipt)).to.deep.equal({
      type: 'found',
      count: 2,
      from: 0,
      isSettled: true,
      records: [inKafka(1), inKafka(2)]
    })
  })

  it('look up once for each topic why its records wait', async () => {
    const asked: string[] = []
    const open = Array.from({ length: 10_000 }, (_, at) => ({ sequence: 7 + at, destination: `k/${'ab'[at % 2]}` }))
    const log = { states: async () => ({ open, openSinceMs: 5, outcomes: new Map(), expiredUpTo: 0 }) }
    const receipts = new DurableReceipts({
      logOf: () => log as unknown as DurableLog,
      whyOpen: (destination, range) => {
        asked.push(`${destination} ${range.first} ${range.count}`)
        return sequence => `${sequence} waits`
      }
    })
    const claims = {
      kind: 'disk' as const,
      issuer: '',
      number: 7,
      count: 10_000,
      accepted: [{ index: 0, count: 10_000 }]
    }
    const answer = await receipts.states(claims, { from: 0, to: 10_000 })
    expect(answer.type === 'found' && answer.records.slice(0, 2)).to.deep.equal([
      { state: 'waiting', topic: 'a', sinceMs: 5, why: '7 waits' },
      { state: 'waiting', topic: 'b', sinceMs: 5, why: '8 waits' }
    ])
    expect(asked).to.deep.equal(['k/a 7 10000', 'k/b 7 10000'])
  })

  it('begin with the first record where a program asks for one before it', async () => {
    await started()
    const sent = stage.send(record('orders', 'A'))
    await stage.pass(1_000)
    const desk = new ReceiptDesk(stage.receipts)
    const reply = await desk.read({ id: sent.holder.receipt!, principals: ['anonymous'], waitMs: 0, from: -1 })
    expect(reply).to.deep.equal({ type: 'found', count: 1, from: 0, isSettled: true, records: [inKafka(0)] })
  })

  it('are there as soon as the records are accepted, and survive the death of the process', async () => {
    await started({ topics: {} })
    const sent = stage.send(record('orders', 'A'))
    await stage.pass(100)
    expect(sent.isAccepted).to.equal(true)
    const [waiting] = await states(sent.holder.receipt)
    expect(waiting).to.deep.equal({
      state: 'waiting',
      topic: 'orders',
      sinceMs: 1_000_000,
      why: 'looking up the topic'
    })
    await stage.restart()
    expect(await states(sent.holder.receipt)).to.deep.equal([
      { state: 'waiting', topic: 'orders', sinceMs: 1_000_000, why: 'looking up the topic, after others' }
    ])
    stage.router.create('orders', 1)
    await stage.pass(60_000)
    expect(await states(sent.holder.receipt)).to.deep.equal([inKafka(0)])
    await stage.restart()
    expect(await states(sent.holder.receipt)).to.deep.equal([inKafka(0)])
  })

  it('are told soon for a request whose records name thousands of partitions that there are not', async () => {
    await started()
    const sent = stage.send(
      Array.from({ length: 10_000 }, (_, at) => ({ ...record('orders', 'A'), partition: 9 + at }))
    )
    await stage.pass(3_500)
    const before = process.cpuUsage()
    const known = await states(sent.holder.receipt)
    // It took seconds, in which nobody else was served.
    expect(process.cpuUsage(before).user / 1_000).to.be.below(1_000)
    const why = 'the topic orders has no partition 10008; it waits until there is one'
    expect(known[9_999]).to.include({ state: 'waiting', why })
  })

  it('say that the topic has no such partition, which is trouble, until it has one', async () => {
    await started()
    const sent = stage.send({ ...record('orders', 'A'), partition: 9 })
    await stage.pass(3_500)
    const why = 'the topic orders has no partition 9; it waits until there is one'
    expect(await states(sent.holder.receipt)).to.deep.equal([
      { state: 'waiting', topic: 'orders', sinceMs: 1_000_000, why }
    ])
    expect([...stage.delivery.topicViews()][0]).to.include({ state: 'stuck', troubledCount: 1 })
    const message = 'the topic orders has no partition 9'
    expect(stage.delivery.troubledIn('orders')).to.deep.equal([
      { partition: 9, state: 'suspended', attempts: 1, obstacle: { error: 'unknownPartition', message } }
    ])
    stage.router.create('orders', 10)
    stage.router.tables.want('orders')
    await stage.pass(5_000)
    expect(await states(sent.holder.receipt)).to.deep.equal([{ ...inKafka(0), partition: 9 }])
    expect(stage.delivery.troubledIn('orders')).to.deep.equal([])
  })

  it('are waiting, set aside, for records that the disk cannot read, until an operator puts them back', async () => {
    await started({ topics: {} })
    const sent = stage.send([record('orders', 'A'), record('orders', 'B')])
    await stage.pass(100)
    stage.kill()
    stage.disk.faults.before = (operation, name) => {
      if (operation === 'read' && name === '0000000000000001.slab') throw eio()
    }
    await stage.start()
    stage.router.create('orders', 1)
    const later = stage.send(record('orders', 'C'))
    await stage.pass(60_000)
    expect(await states(later.holder.receipt), 'newer records do not wait').to.deep.equal([inKafka(0, 1_000_100)])
    const why = 'set aside: the disk cannot read it; castellan wal salvage reads what can be read'
    expect(await states(sent.holder.receipt)).to.deep.equal([
      { state: 'waiting', why },
      { state: 'waiting', why }
    ])
    expect(await ask(sent.holder.receipt)).to.include({ isSettled: false })
    expect(stage.delivery.warnings).to.have.length(1)
    expect(stage.delivery.warnings[0]?.text).to.contain('castellan wal salvage --append')
    stage.kill()
    delete stage.disk.faults.before
    salvageLog(storeOptions(stage.disk, [], {}), () => undefined)
    await stage.start()
    await stage.pass(60_000)
    expect(await states(sent.holder.receipt)).to.deep.equal([inKafka(1), inKafka(2)])
    expect([stage.router.values('orders'), stage.delivery.warnings]).to.deep.equal([['C', 'A', 'B'], []])
  })

  it('wait for a disk that cannot be read, and invent no damage', async () => {
    await started()
    const sent = stage.send(record('orders', 'A'))
    await stage.pass(1_000)
    stage.disk.faults.before = (operation, name) => {
      if (operation === 'read' && name.endsWith('.rows')) throw eio()
    }
    const error = await ask(sent.holder.receipt).catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(UnavailableError).and.include({ code: 'logUnavailable', retriable: true })
    delete stage.disk.faults.before
    expect(await states(sent.holder.receipt)).to.deep.equal([inKafka(0)])
  })

  it('invent no damage where receipts were off when a record was settled', async () => {
    await started({ topics: {} })
    const sent = stage.send(record('orders', 'A'))
    await stage.pass(100)
    stage.receiptLimits = { maxBytes: 0 }
    await stage.restart()
    stage.router.create('orders', 1)
    await stage.pass(60_000)
    stage.receiptLimits = {}
    await stage.restart()
    const [state] = (await states(sent.holder.receipt)) as { readonly state: string; readonly why: string }[]
    expect(state).to.include({ state: 'unknown' })
    expect(state!.why).to.match(/receipts were switched off/)
  })

  it('say why Kafka does not have a record yet', async () => {
    await started()
    stage.router.partition('orders', 0).script.push({ type: 'reject', errorCode: 19 }, { type: 'hold' })
    const sent = [stage.send(record('orders', 'A')), stage.send(record('orders', 'B'))]
    await stage.pass(60)
    const why = async (nth: number): Promise<string> =>
      ((await states(sent[nth]!.holder.receipt))[0] as { readonly why: string }).why
    expect(await why(0)).to.match(/^backing off: /)
    await stage.pass(1_000)
    expect(await why(0)).to.equal('it was sent, and kafka has not acknowledged it yet')
    stage.router.release()
    await stage.pass(1_000)
    expect(await states(sent[1]!.holder.receipt)).to.deep.equal([inKafka(1)])
  })

  it('tell dead letters with their reason', async () => {
    await started()
    stage.router.partition('orders', 0).poison.add('poison')
    const sent = stage.send(['A', 'poison', 'B'].map(value => record('orders', value)))
    await stage.pass(2_000)
    const [first, dead, last] = await states(sent.holder.receipt)
    expect([first, last]).to.deep.equal([inKafka(0), inKafka(1)])
    expect(dead).to.include({ state: 'deadLetter', topic: 'orders', code: 'INVALID_RECORD' })
    await stage.restart()
    expect((await states(sent.holder.receipt))[1]).to.include({ state: 'deadLetter', code: 'INVALID_RECORD' })
  })

  it('keep the places of refused records', async () => {
    await started()
    const values = ['A', 'too large', 'B', 'C']
    const holder = { principal: 'anonymous', receipt: undefined as string | undefined }
    const options = { partitioner: 'murmur2', deadlineMs: 0, durability: 'disk', maxRecordBytes: NONE } as const
    stage.delivery.accept(
      values.map(value => ({ topic: 'orders', key: null, value })),
      options,
      holder
    )
    await stage.pass(1_000)
    expect(await states(holder.receipt)).to.deep.equal([inKafka(0), { state: 'refused' }, inKafka(1), inKafka(2)])
    const places = { count: 5, indexes: [1, 4] }
    const placed = { principal: 'anonymous', receipt: undefined as string | undefined, places }
    stage.delivery.accept(
      ['D', 'E'].map(value => ({ topic: 'orders', key: null, value })),
      options,
      placed
    )
    await stage.pass(1_000)
    const refused = { state: 'refused' }
    expect(await states(placed.receipt)).to.deep.equal([
      refused,
      inKafka(3, 1_001_000),
      refused,
      refused,
      inKafka(4, 1_001_000)
    ])
  })

  it('are not given when no record was accepted', async () => {
    await started()
    const holder = { principal: 'anonymous', receipt: undefined as string | undefined }
    const options = { partitioner: 'murmur2', deadlineMs: 0, durability: 'disk', maxRecordBytes: NONE } as const
    stage.delivery.accept([{ topic: 'orders', key: null, value: 'too large' }], options, holder)
    await stage.pass(1_000)
    expect(holder.receipt).to.equal(undefined)
  })

  it('belong to the client that sent the records', async () => {
    await started()
    const sent = stage.send(record('orders', 'A'), 0, 'ann')
    await stage.pass(1_000)
    expect(await ask(sent.holder.receipt, 0, 'bob')).to.deep.equal({ type: 'notFound' })
    expect(await ask(sent.holder.receipt, 0, 'ann')).to.include({ type: 'found' })
  })

  it('wait until all records are settled, or until their time is over', async () => {
    await started()
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const sent = stage.send([record('orders', 'A'), record('orders', 'B')])
    await stage.pass(100)
    let settled: ReceiptReply | undefined
    let late: ReceiptReply | undefined
    void ask(sent.holder.receipt, 60_000).then(reply => (settled = reply))
    void ask(sent.holder.receipt, 500).then(reply => (late = reply))
    await stage.pass(1_000)
    expect(late).to.include({ isSettled: false })
    expect(settled).to.equal(undefined)
    stage.router.release()
    await stage.pass(100)
    expect(settled)
      .to.include({ isSettled: true })
      .and.deep.include({ records: [inKafka(0), inKafka(1)] })
    expect(await ask(sent.holder.receipt, 60_000)).to.deep.equal(settled)
  })

  it('wait for dead letters, too, and no longer than the gateway serves', async () => {
    await started()
    stage.router.partition('orders', 0).poison.add('poison')
    const desk = new ReceiptDesk(stage.receipts)
    const dead = stage.send(record('orders', 'poison'))
    const stuck = stage.send(record('elsewhere', 'A'))
    await stage.pass(0)
    await stage.pass(0)
    const replies: ReceiptReply[] = []
    for (const { holder } of [dead, stuck]) {
      const question = { id: holder.receipt!, principals: ['anonymous'], waitMs: 300_000 }
      void desk.read(question).then(reply => replies.push(reply))
    }
    await stage.pass(5_000)
    expect(replies).to.have.length(1)
    desk.endWaits()
    await stage.pass(100)
    expect(replies[1]).to.include({ isSettled: false })
  })

  it('are waited for by many at once, while records of several partitions are settled in any order', async () => {
    await started({ topics: { orders: 1, events: 1, bills: 1 } })
    const topics = ['orders', 'events', 'bills', 'orders', 'events', 'bills', 'orders']
    for (const topic of ['orders', 'events', 'bills']) stage.router.partition(topic, 0).script.push({ type: 'hold' })
    const sent = stage.send(topics.map((topic, nth) => record(topic, `${nth}`)))
    await stage.pass(100)
    const replies: ReceiptReply[] = []
    for (let nth = 0; nth < 20; nth++) void ask(sent.holder.receipt, 60_000).then(reply => replies.push(reply))
    await stage.pass(1_000)
    expect(replies).to.have.length(0)
    stage.router.release()
    await stage.pass(1_000)
    expect(replies).to.have.length(20)
    for (const reply of replies) expect(reply).to.include({ isSettled: true })
  })

  it('expire, and are then told apart from those that were never given', async () => {
    await started({ receipts: { retentionMs: 60_000 } })
    const sent = stage.send(record('orders', 'A'))
    await stage.pass(30_000)
    expect(await states(sent.holder.receipt)).to.deep.equal([inKafka(0)])
    await stage.pass(60_000)
    expect(await ask(sent.holder.receipt)).to.deep.equal({ type: 'expired' })
    await stage.restart()
    expect(await ask(sent.holder.receipt)).to.deep.equal({ type: 'expired' })
    const letter = sent.holder.receipt!.endsWith('A') ? 'B' : 'A'
    expect(await ask(sent.holder.receipt!.slice(0, -1) + letter)).to.deep.equal({ type: 'notFound' })
  })

  it('do not expire while a record waits', async () => {
    await started({ topics: {}, receipts: { retentionMs: 60_000 } })
    const sent = stage.send(record('orders', 'A'))
    await stage.pass(300_000)
    expect((await states(sent.holder.receipt))[0]).to.include({ state: 'waiting' })
    stage.router.create('orders', 1)
    await stage.pass(60_000)
    expect(await states(sent.holder.receipt)).to.deep.equal([inKafka(0)])
  })

  it('tell the truth after a crash at any moment of delivery', async () => {
    for (let steps = 0; steps < 40; steps++) {
      await started({ topics: { orders: 2 } })
      stage.router.partition('orders', 0).script.push({ type: 'loseResponse' })
      const sent = Array.from({ length: 6 }, (_, nth) =>
        stage.send([record('orders', `${nth}a`), record('orders', `${nth}b`)])
      )
      await stage.pass(5)
      stage.disk.operationsLeft = steps
      await stage.pass(200).catch(() => undefined)
      stage.kill()
      stage.disk.operationsLeft = Number.POSITIVE_INFINITY
      await stage.start()
      await stage.pass(60_000)
      for (const [nth, { isAccepted, holder }] of sent.entries()) {
        if (!isAccepted) continue
        const found = (await states(holder.receipt)) as { state: string; partition: number; offset: number }[]
        const values = found.map(({ partition, offset }) => stage.router.partition('orders', partition).values[offset])
        expect(values, `crash after ${steps} operations`).to.deep.equal([`${nth}a`, `${nth}b`])
      }
      stage.restore()
    }
    await started()
  })
})
