import { setMaxListeners } from 'node:events'
import { expect } from 'chai'
import { OverloadedError } from '../../../src/core/errors.js'
import {
  NO_ANSWER,
  PeerError,
  type PeerHandler,
  type Peers,
  toPeerFailure
} from '../../../src/deployment/calls/peers.js'
import { peerReceipts } from '../../../src/deployment/verbs/peer-receipts.js'
import { MemoryReceipts } from '../../../src/producer/memory/memory-receipts.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { ReceiptKey } from '../../../src/producer/receipts/receipt-ids.js'
import { Receipts } from '../../../src/producer/receipts/receipts.js'
import { ReceiptDesk, type ReceiptQuestion, type ReceiptReply } from '../../../src/verbs/receipts.js'
import { FakeTime } from '../../support/fake-time.js'

/** Waits that one process takes. */
const WAITS = 1_024
/** Waits that one process keeps for receipts of others. */
const WAITS_ELSEWHERE = 256
const FIVE_MINUTES_MS = 300_000
const row = [0, 1, 1, 7, 9] as const
const inKafka = { state: 'inKafka', topic: 'orders', partition: 1, offset: 7, timestampMs: 9 }

/** Processes that call each other. */
class Network {
  readonly away = new Set<string>()
  readonly #handlers = new Map<string, PeerHandler<string>>()
  readonly #ids: readonly string[]

  constructor(ids: readonly string[]) {
    this.#ids = ids
  }

  peersOf(id: string): Peers {
    return {
      id,
      onGone: () => undefined,
      others: this.#ids.filter(other => other !== id),
      serve: (name, handler) => void this.#handlers.set(`${id} ${name}`, handler),
      call: async (to, name, body, { timeoutMs }) => {
        if (this.away.has(to)) throw new PeerError('gone', { name: 'Error', message: 'gone', code: NO_ANSWER })
        try {
          const sent: unknown = JSON.parse(JSON.stringify(body))
          return await this.#handlers.get(`${to} ${name}`)!(sent, { from: id, timeoutMs })
        } catch (error) {
          throw new PeerError((error as Error).message, toPeerFailure(error))
        }
      }
    }
  }
}

/** @param issuer 8 bytes: the first three name its place */
function processOf(network: Network, id: string, issuer: readonly number[]) {
  const receipts = new Receipts(new ReceiptKey(Buffer.alloc(32, 1)))
  const table = new MemoryReceipts({
    issuer: receipts.issuer('memory', Buffer.from(issuer)),
    retentionMs: 3_600_000,
    clock: () => performance.now(),
    now: Date.now
  })
  receipts.add(table)
  const desk = new ReceiptDesk(receipts)
  desk.elsewhere = peerReceipts(desk, network.peersOf(id))
  const give = () => {
    const pending = new MemoryPendingProduce(1, Number.POSITIVE_INFINITY, performance.now())
    const holder = { principal: 'ann', receipt: undefined as string | undefined }
    table.add(holder, pending, 'orders', { whyWaiting: () => 'slow' })
    return { id: holder.receipt!, pending }
  }
  const ask = (receipt: string, more: Partial<ReceiptQuestion> = {}): Promise<ReceiptReply> =>
    desk.read({ id: receipt, principals: ['ann'], ...more })
  return { desk, give, ask }
}

describe('receipts of other processes', () => {
  let time: FakeTime
  let network: Network
  beforeEach(() => {
    time = new FakeTime('performance')
  })
  afterEach(() => time.restore())

  const processes = (count: number) => {
    const ids = Array.from({ length: count }, (_, nth) => `process ${nth}`)
    network = new Network(ids)
    return ids.map((id, nth) => processOf(network, id, new Array<number>(8).fill(nth)))
  }
  const refusalOf = (asked: Promise<unknown>): Promise<string | undefined> =>
    asked.then(
      () => undefined,
      error => (error instanceof OverloadedError ? error.message : `${error}`)
    )

  it('are waited for until all records are settled, or the time is over', async () => {
    const [owner, other] = processes(2)
    const { id, pending } = owner!.give()
    const replies: ReceiptReply[] = []
    void other!.ask(id, { waitMs: 60_000 }).then(reply => replies.push(reply))
    void other!.ask(id, { waitMs: 12_000 }).then(reply => replies.push(reply))
    await time.pass(11_900)
    expect(replies).to.deep.equal([])
    await time.pass(200)
    expect(replies).to.have.length(1)
    expect(replies[0]).to.include({ type: 'found', isSettled: false })
    pending.delivered(...row)
    await time.pass(100)
    expect(replies[1])
      .to.include({ isSettled: true })
      .and.deep.include({ records: [inKafka] })
  })

  it('give their places back when their clients have left', async () => {
    const [owner, ...others] = processes(1 + WAITS / WAITS_ELSEWHERE)
    const { id } = owner!.give()
    const left = new AbortController()
    setMaxListeners(0, left.signal)
    const over: unknown[] = []
    const isOver = (answer: unknown): void => void over.push(answer)
    for (const other of others) {
      for (let nth = 0; nth < WAITS_ELSEWHERE; nth++)
        other.ask(id, { waitMs: FIVE_MINUTES_MS, signal: left.signal }).then(isOver, isOver)
    }
    await time.pass(20_000)
    expect(over).to.deep.equal([])
    expect(await refusalOf(owner!.ask(id, { waitMs: 1_000 }))).to.equal('too many receipts are waited for')
    left.abort()
    await time.pass(5_000)
    expect(over).to.have.length(WAITS)
    const again = owner!.ask(id, { waitMs: 1_000 })
    await time.pass(1_000)
    expect(await again).to.include({ type: 'found', isSettled: false })
  })

  it('are refused where too many wait, at the process that is asked and at the one that has them', async () => {
    const [owner, other] = processes(2)
    const { id } = owner!.give()
    const left = new AbortController()
    setMaxListeners(0, left.signal)
    const wait = { waitMs: FIVE_MINUTES_MS, signal: left.signal }
    const waits = Array.from({ length: WAITS }, () => owner!.ask(id, wait))
    await time.pass(100)
    expect(await refusalOf(other!.ask(id, wait))).to.equal('too many receipts are waited for')
    expect(await other!.ask(id)).to.include({ type: 'found' })
    left.abort()
    await time.pass(100)
    await Promise.all(waits)
    const stay = new AbortController()
    setMaxListeners(0, stay.signal)
    const stays = Array.from({ length: WAITS_ELSEWHERE }, () =>
      other!.ask(id, { waitMs: FIVE_MINUTES_MS, signal: stay.signal })
    )
    await time.pass(100)
    expect(await refusalOf(other!.ask(id, wait))).to.equal('too many receipts are waited for')
    stay.abort()
    await time.pass(5_100)
    await Promise.all(stays)
  })

  it('leave places for others when one client waits for as many as it can', async () => {
    const [owner, other] = processes(2)
    const { id } = owner!.give()
    for (const [process, places] of [
      [owner!, WAITS],
      [other!, WAITS_ELSEWHERE]
    ] as const) {
      const left = new AbortController()
      setMaxListeners(0, left.signal)
      const of = (client: string) => ({ waitMs: FIVE_MINUTES_MS, signal: left.signal, client })
      const refused: (string | undefined)[] = []
      for (let nth = 0; nth < places; nth++)
        void refusalOf(process.ask(id, of('address a'))).then(one => refused.push(one))
      await time.pass(100)
      expect(new Set(refused)).to.deep.equal(new Set(['too many receipts of one client are waited for']))
      let isOver = false
      void process.ask(id, of('address b')).finally(() => (isOver = true))
      await time.pass(100)
      expect(isOver).to.equal(false)
      left.abort()
      await time.pass(5_100)
    }
  })

  it('are answered at once with what is known when either of the processes stops', async () => {
    for (const stopping of [0, 1]) {
      const both = processes(2)
      const { id } = both[0]!.give()
      let reply: ReceiptReply | undefined
      void both[1]!.ask(id, { waitMs: FIVE_MINUTES_MS }).then(one => (reply = one))
      await time.pass(1_000)
      both[stopping]!.desk.endWaits()
      await time.pass(100)
      expect(reply, `${stopping}`).to.include({ type: 'found', isSettled: false })
      both[1 - stopping]!.desk.endWaits()
    }
  })

  it('are unreachable when the process that gave them goes away during the wait', async () => {
    const [owner, other] = processes(2)
    const { id } = owner!.give()
    let reply: ReceiptReply | undefined
    void other!.ask(id, { waitMs: FIVE_MINUTES_MS }).then(one => (reply = one))
    await time.pass(1_000)
    network.away.add('process 0')
    await time.pass(5_000)
    expect(reply).to.deep.equal({ type: 'unreachable' })
  })

  it('are told by the process that has the records, not by one whose place has the same name', async () => {
    network = new Network(['a', 'b', 'c'])
    const place = [1, 2, 3]
    const former = processOf(network, 'a', [...place, 0, 0, 0, 0, 1])
    const owner = processOf(network, 'b', [...place, 0, 0, 0, 0, 2])
    const third = processOf(network, 'c', [9, 9, 9, 0, 0, 0, 0, 1])
    const { id, pending } = owner.give()
    pending.delivered(...row)
    for (const asked of [former, owner, third])
      expect(await asked.ask(id)).to.deep.include({ type: 'found', records: [inKafka] })
    network.away.add('b')
    // As far as anybody can tell, the process at that place has ended.
    for (const asked of [former, third]) {
      const reply = await asked.ask(id)
      expect(reply).to.include({ type: 'found', isSettled: true })
      expect(reply.type === 'found' && reply.records[0]).to.include({ state: 'unknown' })
    }
  })

  it('cannot be asked for where the answer of a gateway makes no sense', async () => {
    const found = { type: 'found', count: 1, from: 0, isSettled: true }
    const strange = [
      null,
      7,
      'found',
      { reply: null },
      { reply: 'found' },
      { reply: {} },
      { reply: { type: 'lost' } },
      { reply: found },
      { reply: { ...found, records: 3 } },
      { reply: { ...found, records: [null] } },
      { reply: { ...found, records: [{ state: 'waiting', sinceMs: 1e300 }] } },
      { reply: { ...found, count: -1, records: [] } },
      // More than the receipt has, and more than were asked for.
      { reply: { ...found, records: [{ state: 'refused' }, { state: 'refused' }] } },
      { reply: { ...found, count: 9, records: Array.from({ length: 4 }, () => ({ state: 'refused' })) } }
    ]
    const [owner, other] = processes(2)
    const { id } = owner!.give()
    for (const answer of strange) {
      network.peersOf('process 0').serve('receipt', () => answer)
      expect(await other!.ask(id, { most: 3 }), JSON.stringify(answer)).to.deep.equal({ type: 'unreachable' })
    }
  })
})
