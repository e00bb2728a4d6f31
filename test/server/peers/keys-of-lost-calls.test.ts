import { expect } from 'chai'
import type sinon from 'sinon'
import { UnsentError } from '../../../src/server/peers/key-link.js'
import { KeyMembers } from '../../../src/server/peers/key-members.js'
import { enospc } from '../../support/simulated-disk.js'
import { type KeyGateways, keyOf } from './key-gateways.js'
import { deliveredAt, type KeyedRequests, refused, setUpKeys } from './keyed-requests.js'

const HOUR_MS = 3_600_000
const [A, B, C, D] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091', 'gw-d:8091'] as const

describe('keys of gateways that are killed, and whose calls are late or lost', () => {
  let clock: sinon.SinonFakeTimers
  let gateways: KeyGateways
  let requests: KeyedRequests
  let asked: { hash: string; fingerprint: string }

  beforeEach(async () => {
    ;({ clock, gateways, requests } = setUpKeys([A, B, C, D]))
    gateways.onFailure = () => undefined
    await requests.startAll()
    asked = gateways.askedOf(B)
  })
  afterEach(() => requests.end())

  /** Calls with this name take another way. */
  const reroute = (name: string, way: (send: () => Promise<unknown>) => Promise<unknown>): void => {
    const { call } = gateways
    gateways.call = (from, to, called, body) => {
      const send = (): Promise<unknown> => call.call(gateways, from, to, called, body)
      return called === name ? way(send) : send()
    }
  }
  /** Holds the answers to calls with this name back. @returns lets them go */
  const holdBack = (name: string): (() => void) => {
    let release = (): void => undefined
    const released = new Promise<void>(resolve => (release = resolve))
    gateways.held.set(name, released)
    return release
  }
  const expectFree = async (): Promise<void> => {
    for (const at of [A, B, C]) {
      const claim = await requests.claim(at, asked)
      expect(claim.type).to.equal('claimed')
      expect(await requests.settle(keyOf(claim), 'unknown')).to.equal(true)
    }
  }

  for (const [holder, whose] of [
    [B, 'the owner'],
    [C, 'another one']
  ] as const) {
    it(`keep an answer beyond a restart of the owner when ${whose} has the records`, async () => {
      const first = keyOf(await requests.claim(holder, asked))
      requests.produce(holder, first, ['one'])
      await requests.settle(first, 'pending')
      requests.at(holder).own.holder.settled(100, deliveredAt(7))
      await clock.tickAsync(100)
      const second = keyOf(await requests.claim(A, asked))
      requests.produce(A, second, ['one'])
      await requests.settle(second, 'yes')
      expect(requests.written).to.have.length(1)
      await requests.restart(B)
      expect((await requests.claim(A, asked)).type).to.equal('answered')
    })
  }

  it('keep an answer beyond a restart of the owner when it has written the rest of the records', async () => {
    const first = keyOf(await requests.claim(A, asked))
    requests.produce(A, first, ['one'])
    await requests.settle(first, 'pending')
    requests.at(A).own.holder.settled(100, deliveredAt(7))
    const second = keyOf(await requests.claim(B, asked))
    requests.produce(B, second, ['one', 'two'])
    requests.at(B).own.holder.settled(101, deliveredAt(8))
    await requests.settle(second, 'yes')
    await requests.restart(B)
    expect((await requests.claim(C, asked)).type).to.equal('answered')
  })

  for (const what of ['its journal', 'a journal'] as const) {
    it(`stay with their records while the disk of the owner does not take ${what}`, async () => {
      const disk = requests.diskOf(B)
      if (what === 'its journal') requests.at(B).own.holder.begin()
      let errors = 0
      disk.faults.before = operation => {
        if (operation !== 'write' && operation !== 'create') return
        errors++
        throw enospc()
      }
      const first = keyOf(await requests.claim(A, asked))
      requests.produce(A, first, ['one'])
      requests.at(A).own.holder.settled(100, deliveredAt(7))
      expect(await requests.settle(first, 'yes')).to.equal(true)
      expect(errors).to.be.above(0)
      gateways.kill(B)
      disk.faults.before = () => undefined
      await requests.start(B)
      await clock.tickAsync(5_000)
      const second = keyOf(await requests.claim(C, asked))
      const pending = requests.produce(C, second, ['one'])
      await clock.tickAsync(1_000)
      expect(await pending.outcomes()).to.deep.equal([deliveredAt(7)])
      expect(requests.written).to.have.length(1)
    })
  }

  it('go to one request when their owner is started again while the records of another gateway are asked for', async () => {
    const first = keyOf(await requests.claim(C, asked))
    requests.produce(C, first, ['one'])
    await requests.settle(first, 'pending')
    const release = holdBack('key records')
    const late = requests.at(A).keys.claim(asked, 100)
    await clock.tickAsync(100)
    gateways.held.clear()
    gateways.kill(B)
    await clock.tickAsync(100)
    await requests.start(B)
    await clock.tickAsync(3_000)
    requests.produce(D, keyOf(await requests.claim(D, asked)), ['one', 'two'])
    release()
    await clock.tickAsync(100)
    expect((await late).type).to.equal('busy')
    expect(requests.written).to.deep.equal([`one at ${C}`, `two at ${D}`])
  })

  it('are not given to a claim that arrives when its request has given up', async () => {
    let isFirst = true
    reroute('key claim', async send => {
      if (!isFirst) return send()
      isFirst = false
      setTimeout(() => void send(), 3_000)
      await new Promise(resolve => setTimeout(resolve, 2_500))
      throw new Error('no answer')
    })
    const late = requests.at(A).keys.claim(asked, 100)
    await clock.tickAsync(10_000)
    expect((await late).type).to.equal('away')
    await expectFree()
  })

  /** A gateway is asked by another one for its records, so a claim that it waits for may have ended. */
  const doubt = async (at: string, by: string): Promise<void> => {
    const { digest } = new KeyMembers(gateways.names, '', () => [])
    const body = { list: digest, by, to: at, body: { ...asked, atMs: Date.now() } }
    await gateways.call(requests.at(by).id, requests.at(at).id, 'key records', body)
  }

  it('are given back when their owner cannot be asked whether a claim still counts', async () => {
    const release = holdBack('key claim')
    const late = requests.at(A).keys.claim(asked, 100)
    await clock.tickAsync(100)
    gateways.held.clear()
    await doubt(A, C)
    reroute('key confirm', async () => {
      throw new UnsentError('it is not sent')
    })
    release()
    await clock.tickAsync(1_000)
    expect((await late).type).to.equal('away')
    await expectFree()
  })

  it('are given to a request at their owner that finds that its claim still counts', async () => {
    gateways.kill(B)
    const release = holdBack('key held')
    await requests.start(B)
    const late = requests.at(B).keys.claim(asked, 1_000)
    await clock.tickAsync(100)
    await doubt(B, A)
    release()
    await clock.tickAsync(1_000)
    await requests.settle(keyOf(await late), 'unknown')
    await expectFree()
  })

  it('are not locked when their owner does not answer for hours', async () => {
    const key = keyOf(await requests.claim(A, asked))
    gateways.cut.add(`${A}>${B}`)
    await requests.settle(key, 'unknown')
    await clock.tickAsync(3 * HOUR_MS)
    gateways.cut.clear()
    await clock.tickAsync(60_000)
    await expectFree()
  })

  it('are refused within two seconds while their owner waits for another gateway', async () => {
    gateways.kill(C)
    gateways.kill(B)
    await requests.start(B)
    let told: string | undefined
    void Promise.resolve(requests.at(B).keys.claim(asked, 30_000)).then(({ type }) => (told = type))
    await clock.tickAsync(2_100)
    expect(told).to.equal('away')
  })

  it('of requests that have expired at their owner do not give their records to others', async () => {
    keyOf(await requests.claim(A, asked))
    await requests.restart(A)
    await clock.tickAsync(HOUR_MS)
    const former = keyOf(await requests.claim(C, asked))
    requests.produce(C, former, ['old'])
    await requests.settle(former, 'pending')
    requests.at(C).own.holder.settled(100, deliveredAt(5))
    await clock.tickAsync(23 * HOUR_MS + 10_000)
    requests.produce(C, keyOf(await requests.claim(C, { ...asked, fingerprint: 'another!' })), ['new'])
    expect(requests.written).to.deep.equal([`old at ${C}`, `new at ${C}`])
  })

  it('of requests that have expired at their owner are not met again with the rest of their records', async () => {
    const values = ['one', 'two']
    const first = keyOf(await requests.claim(A, asked))
    requests.produce(A, first, ['one'])
    await requests.settle(first, 'pending')
    await clock.tickAsync(23 * HOUR_MS)
    const rest = keyOf(await requests.claim(C, asked))
    requests.produce(C, rest, values)
    await requests.settle(rest, 'pp')
    await clock.tickAsync(HOUR_MS)
    requests.produce(C, keyOf(await requests.claim(C, asked)), values)
    expect(requests.written).to.deep.equal([`one at ${A}`, `two at ${C}`, `one at ${C}`, `two at ${C}`])
  })

  it('stay in use while a gateway has not heard that the records there count no more', async () => {
    const first = keyOf(await requests.claim(C, asked))
    requests.produce(C, first, ['one'], 'memory')
    requests.at(C).own.holder.find(asked.hash)!.conclude(0, refused)
    await requests.settle(first, 'unknown')
    let isLost = true
    reroute('key ended', async send => {
      if (isLost) throw new Error('it is lost')
      return send()
    })
    const second = keyOf(await requests.claim(A, asked))
    requests.produce(A, second, ['one'], 'memory')
    await requests.settle(second, 'no')
    isLost = false
    const third = keyOf(await requests.claim(A, asked))
    requests.produce(A, third, ['one'], 'memory')
    expect(third.told('no')).to.equal('no')
    await requests.settle(third, 'no')
    expect(requests.written).to.have.length(1)
    const fourth = keyOf(await requests.claim(C, asked))
    requests.produce(C, fourth, ['one'], 'memory')
    requests.at(C).own.holder.find(asked.hash)!.conclude(0, deliveredAt(9))
    await requests.settle(fourth, 'pending')
    expect(requests.written).to.have.length(2)
    const last = requests.produce(A, keyOf(await requests.claim(A, asked)), ['one'])
    await clock.tickAsync(1_000)
    expect(await last.outcomes()).to.deep.equal([deliveredAt(9)])
  })
})
