import { expect } from 'chai'
import sinon from 'sinon'
import { PeerError } from '../../../src/deployment/calls/peers.js'
import { NotCarriedOutError } from '../../../src/http/api/key-owners.js'
import { type KeyGateway, KeyGateways, type Seen } from './key-gateways.js'

const [A, B, C] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const
const NAMES = [A, B, C]
const LOOKS = 4

const detailOf = ({ body }: Seen): string => (JSON.parse(body) as { detail: string }).detail
/** Lets all promises and callbacks come that wait for no time. */
async function tick(): Promise<void> {
  for (let nth = 0; nth < 20; nth++) await new Promise(resolve => setImmediate(resolve))
}

describe('requests with keys at gateways that know each other', () => {
  let gateways: KeyGateways
  let clock: sinon.SinonFakeTimers
  beforeEach(async () => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    gateways = new KeyGateways(NAMES)
    await gateways.startAll()
    await gateways.refresh()
  })
  afterEach(() => {
    gateways.close()
    clock.restore()
  })

  const HELD_MS = 30_000
  /** The answer to a request that is not carried out while it is held. */
  const refused = async (sent: Promise<Seen>): Promise<Seen> => {
    await tick()
    await clock.tickAsync(HELD_MS)
    return sent
  }
  /** The answer to a request that waits for at most a second. */
  const soon = async (sent: Promise<Seen>): Promise<Seen> => {
    await tick()
    await clock.tickAsync(1_000)
    return sent
  }
  const isAnswered = async (sent: Promise<Seen>): Promise<boolean> => (await Promise.race([sent, tick()])) !== undefined
  const send = (at: string, key: string, lines = 'one', headers = {}): Promise<Seen> =>
    gateways.at(at).process.send(key, lines, headers)
  const errors = (): readonly string[] =>
    gateways.lines.filter(({ level }) => level === 'error').map(({ message }) => message)

  for (const owner of NAMES) {
    it(`are carried out once, and by ${owner}, which owns the key, wherever they come in`, async () => {
      for (const first of NAMES) {
        const key = gateways.keyOf(owner)
        gateways.kafka.accepted.length = 0
        const seen = await send(first, key, 'one\ntwo')
        expect(seen).to.include({ status: 200, persisted: 'yes', reach: 'deployment', replayed: undefined })
        for (const at of NAMES) {
          expect(await send(at, key, 'one\ntwo')).to.deep.equal({ ...seen, replayed: 'true' })
          expect(await send(at, key, 'other')).to.include({ status: 422, persisted: 'no', reach: 'deployment' })
        }
        expect(gateways.kafka.accepted).to.deep.equal([`one at ${owner}`, `two at ${owner}`])
      }
    })
  }

  it('make one hop at most', async () => {
    const key = gateways.keyOf(B)
    for (const at of NAMES) await send(at, key)
    expect(gateways.calls.filter(name => name === 'keyed request')).to.have.length(2)
  })

  it('wait at the other gateway for an earlier one, and get its answer', async () => {
    const key = gateways.keyOf(B)
    gateways.kafka.isUp = false
    const first = send(B, key)
    await tick()
    const second = send(A, key)
    await tick()
    gateways.kafka.isUp = true
    gateways.kafka.deliver()
    gateways.kafka.giveUp()
    expect((await first).persisted).to.equal('pending')
    // The earlier one was answered without an outcome, so this one is carried out with its record.
    expect(await second).to.include({ status: 200, persisted: 'yes' })
    expect(gateways.kafka.accepted).to.deep.equal([`one at ${B}`])
  })

  describe('that their owner has certainly not carried out', () => {
    it('are held while it is away, and carried out there when it shares keys again', async () => {
      const key = gateways.keyOf(B)
      gateways.kill(B)
      const sent = [send(A, key), send(C, gateways.keyOf(B), 'two')]
      await tick()
      await clock.tickAsync(20_000)
      await gateways.start(B)
      await gateways.refresh()
      for (const seen of await Promise.all(sent)) expect(seen).to.include({ status: 200, persisted: 'yes' })
      expect(gateways.kafka.accepted.toSorted()).to.deep.equal([`one at ${B}`, `two at ${B}`])
    })

    it('are carried out before later ones with their key, which alone wait behind them', async () => {
      const key = gateways.keyOf(B)
      gateways.kill(B)
      const first = send(A, key, 'first')
      await tick()
      await clock.tickAsync(100)
      await gateways.start(B)
      const later = [send(A, key, 'second'), send(A, key, 'first')]
      expect(await send(A, gateways.keyOf(B), 'another key')).to.include({ status: 200 })
      expect(await isAnswered(later[0]!), 'held ones leave after half a second').to.equal(false)
      await clock.tickAsync(400)
      expect(await first).to.include({ status: 200, persisted: 'yes', replayed: undefined })
      await clock.tickAsync(500)
      expect(await later[0]).to.include({ status: 422, persisted: 'no' })
      await clock.tickAsync(500)
      expect(await later[1]).to.include({ status: 200, persisted: 'yes', replayed: 'true' })
      expect(gateways.kafka.accepted).to.deep.equal([`another key at ${B}`, `first at ${B}`])
    })

    it('are answered 503 peerAway after 30 s, and carried out nowhere', async () => {
      const key = gateways.keyOf(B)
      gateways.kill(B)
      for (const at of [A, C]) {
        const sent = send(at, key)
        await tick()
        await clock.tickAsync(HELD_MS - 100)
        expect(await isAnswered(sent)).to.equal(false)
        await clock.tickAsync(100)
        const seen = await sent
        expect(seen).to.include({ status: 503, persisted: 'no', reach: 'deployment', retryAfter: '5' })
        expect(JSON.parse(seen.body)).to.include({ code: 'peerAway', retriable: true })
        expect(detailOf(seen)).to.match(
          new RegExp(`^the gateway ${B}, which owns the key, cannot be reached. This request has written nothing;`)
        )
      }
      expect(gateways.kafka.accepted).to.deep.equal([])
      await gateways.start(B)
      expect((await send(A, key)).persisted).to.equal('yes')
      expect(gateways.kafka.accepted).to.deep.equal([`one at ${B}`])
    })

    it('are not tried at a process that has been found, but does not say that it shares keys', async () => {
      const key = gateways.keyOf(B)
      gateways.kill(B)
      const sent = send(A, key)
      const found = await gateways.create(B)
      const { handlers } = found.peers
      const share = handlers.get('keys of requests')!
      handlers.set('keys of requests', () => 'refused')
      await gateways.appear(found)
      await clock.tickAsync(5_000)
      expect(gateways.calls).to.not.include('keyed request')
      handlers.set('keys of requests', share)
      await gateways.refresh()
      await clock.tickAsync(500)
      expect((await sent).persisted).to.equal('yes')
    })

    it('are tried every 500 ms at most at an owner that refuses them, and only when it has said that it shares keys', async () => {
      const key = gateways.keyOf(B)
      gateways.at(B).peers.handlers.set('keyed request', () => {
        throw new NotCarriedOutError('it is stopping')
      })
      const sent = send(A, key)
      const tries = (): number => gateways.calls.filter(name => name === 'keyed request').length
      await tick()
      await clock.tickAsync(400)
      expect(tries()).to.equal(1)
      for (let look = 0; look < 10; look++) await gateways.refresh()
      expect(tries(), 'it has said so ten times').to.equal(1)
      await clock.tickAsync(100)
      expect(tries()).to.equal(2)
      await clock.tickAsync(5_000)
      expect(tries(), 'it has not said so again').to.equal(2)
      await refused(sent)
    })

    it('are unknown in the end where the same gateway has passed their key on before, whatever became of it', async () => {
      const key = gateways.keyOf(B)
      expect((await send(A, key)).persisted).to.equal('yes')
      gateways.kill(B)
      const again = send(A, key)
      await tick()
      await clock.tickAsync(30_000)
      expect(await again).to.include({ status: 503, persisted: 'unknown' })
    })

    it('are unknown while an earlier request with the key is under way at an owner that refuses more', async () => {
      const key = gateways.keyOf(B)
      gateways.kafka.isUp = false
      const first = send(A, key)
      await tick()
      const closed = gateways.at(B).owners.close()
      const again = send(A, key)
      await tick()
      await clock.tickAsync(30_000)
      expect(await again).to.include({ status: 503, persisted: 'unknown' })
      gateways.kafka.isUp = true
      gateways.kafka.deliver()
      gateways.kafka.giveUp()
      await first
      await closed
    })

    it('are unknown in the end where one of two with a key that were passed on together was carried out', async () => {
      const key = gateways.keyOf(B)
      const { handlers } = gateways.at(B).peers
      const carryOut = handlers.get('keyed request')!
      let refuse = (): void => undefined
      handlers.set('keyed request', () => {
        handlers.set('keyed request', carryOut)
        return new Promise((_, reject) => (refuse = () => reject(new NotCarriedOutError('it is starting'))))
      })
      const first = send(A, key)
      await tick()
      expect(await send(A, key)).to.include({ status: 200, persisted: 'yes' })
      refuse()
      await tick()
      gateways.kill(B)
      expect(await refused(first)).to.include({ status: 503, persisted: 'unknown' })
      expect(await refused(send(A, key))).to.include({ status: 503, persisted: 'unknown' })
    })

    it('are held while their owner has found itself, but has no routes yet', async () => {
      const key = gateways.keyOf(B)
      gateways.kill(B)
      const sent = send(A, key)
      const starting = await gateways.create(B, NAMES, false)
      await gateways.appear(starting)
      await clock.tickAsync(5_000)
      expect(await isAnswered(sent)).to.equal(false)
      expect(gateways.calls).to.not.include('keyed request')
      const other = send(A, gateways.keyOf(B), 'other')
      expect(await isAnswered(other)).to.equal(false)
      starting.process.serve()
      await gateways.refresh()
      await clock.tickAsync(500)
      for (const one of [sent, other]) expect(await one).to.include({ status: 200, persisted: 'yes' })
    })

    it('are refused without a warning by an owner that is started again a while after it has stopped', async () => {
      await gateways.at(B).owners.close()
      const sent = [send(A, gateways.keyOf(B))]
      await tick()
      gateways.kill(B)
      await clock.tickAsync(20_000)
      gateways.running.set(B, await gateways.create(B))
      sent.push(send(A, gateways.keyOf(B)))
      await tick()
      await gateways.refresh(3)
      await clock.tickAsync(30_000)
      await Promise.all(sent)
      expect(gateways.lines.filter(({ level, message }) => level === 'warn' && /differ/.test(message))).to.deep.equal(
        []
      )
    })

    it('that an owner has no route for are answered at once, and hold no other request of its keys', async () => {
      gateways.at(B).peers.handlers.set('keyed request', () => {
        throw new NotCarriedOutError('such a route is not served', 'notServed')
      })
      const sent = [send(A, gateways.keyOf(B)), send(A, gateways.keyOf(B))]
      await tick()
      for (const one of sent) expect(await one).to.include({ status: 503, persisted: 'no' })
      expect(gateways.calls.filter(name => name === 'keyed request')).to.have.length(2)
    })

    it('are not sent to an owner that has refused one, until it says that it shares keys', async () => {
      await gateways.at(B).owners.close()
      const sent = [send(A, gateways.keyOf(B)), send(C, gateways.keyOf(B))]
      await tick()
      gateways.calls.length = 0
      sent.push(send(A, gateways.keyOf(B)), send(C, gateways.keyOf(B)))
      await tick()
      expect(gateways.calls).to.deep.equal([])
      await clock.tickAsync(HELD_MS)
      for (const seen of await Promise.all(sent)) expect(seen).to.include({ status: 503, persisted: 'no' })
    })

    it('are answered 503 at once, and have written nothing, where the gateway that holds them stops', async () => {
      gateways.kill(B)
      const sent = send(A, gateways.keyOf(B))
      expect(await isAnswered(sent)).to.equal(false)
      await gateways.at(A).owners.close()
      expect(await sent).to.include({ status: 503, persisted: 'no' })
      expect(await send(A, gateways.keyOf(B))).to.include({ status: 503, persisted: 'no' })
    })

    it('say that it is not known what an earlier one has written whose answer was lost', async () => {
      const key = gateways.keyOf(B)
      gateways.lost = 'keyed request'
      await send(A, key)
      gateways.kill(B)
      expect(await refused(send(A, key))).to.include({ status: 503, persisted: 'unknown', retryAfter: '5' })
      expect(await refused(send(A, gateways.keyOf(B)))).to.include({ status: 503, persisted: 'no' })
    })

    it('are carried out by their own gateway when it has found itself in the list', async () => {
      gateways.kill(A)
      const late = await gateways.create(A)
      const key = gateways.keyOf(A)
      const sent = late.process.send(key, 'one')
      expect(await isAnswered(sent)).to.equal(false)
      await gateways.appear(late)
      const other = late.process.send(key, 'other')
      await tick()
      await clock.tickAsync(500)
      expect(await sent).to.include({ status: 200, persisted: 'yes' })
      await clock.tickAsync(500)
      expect(await other, 'a later one with its key').to.include({ status: 422, persisted: 'no' })
      expect(gateways.kafka.accepted).to.deep.equal([`one at ${A}`])
    })
  })

  it('are refused by an owner that stops, which waits for those that it has begun', async () => {
    const [first, second] = [gateways.keyOf(B), gateways.keyOf(B)]
    gateways.kafka.isUp = false
    const begun = send(A, first)
    await tick()
    let isClosed = false
    const closed = gateways
      .at(B)
      .owners.close()
      .then(() => (isClosed = true))
    const later = send(A, second)
    await tick()
    expect(isClosed).to.equal(false)
    gateways.kafka.isUp = true
    gateways.kafka.deliver()
    gateways.kafka.giveUp()
    expect((await begun).persisted).to.equal('pending')
    await closed
    expect(gateways.kafka.accepted).to.deep.equal([`one at ${B}`])
    gateways.kill(B)
    await gateways.start(B)
    await gateways.refresh()
    await clock.tickAsync(500)
    expect((await later).persisted).to.equal('yes')
  })

  describe('that are on their way to an owner that stops', () => {
    /** Ends the wait of calls, or of answers, with this name. */
    const holdUp = (way: 'onTheWay' | 'onTheWayBack', name: string): (() => void) => {
      let arrive: () => void = () => undefined
      const coming = new Promise<void>(resolve => (arrive = resolve))
      gateways[way] = of => (of === name ? coming : undefined)
      return () => {
        gateways[way] = () => undefined
        arrive()
      }
    }
    const closing = (name: string) => {
      const state = { isClosed: false, closed: gateways.at(name).owners.close() }
      void state.closed.then(() => (state.isClosed = true))
      return state
    }
    const startAgain = async (name: string): Promise<void> => {
      gateways.kill(name)
      await gateways.start(name)
      await gateways.refresh()
      await clock.tickAsync(500)
    }

    it('are refused before it has ended, and carried out when it has been started again', async () => {
      const arrive = holdUp('onTheWay', 'keyed request')
      const sent = send(A, gateways.keyOf(B))
      await tick()
      const closed = closing(B)
      await tick()
      expect(closed.isClosed).to.equal(false)
      arrive()
      await closed.closed
      await startAgain(B)
      expect(await sent).to.include({ status: 200, persisted: 'yes' })
      expect(gateways.kafka.accepted).to.deep.equal([`one at ${B}`])
    })

    it('are no more once it has told the others, though an earlier answer says that it shares keys', async () => {
      const arrive = holdUp('onTheWayBack', 'keys of requests')
      await gateways.refresh()
      await closing(B).closed
      gateways.calls.length = 0
      arrive()
      await tick()
      const sent = send(A, gateways.keyOf(B))
      await tick()
      await clock.tickAsync(1_000)
      expect(gateways.calls.filter(name => name === 'keyed request')).to.deep.equal([])
      await startAgain(B)
      expect(await sent).to.include({ status: 200, persisted: 'yes' })
    })

    it('keep it from its end for 2 s at most', async () => {
      holdUp('onTheWay', 'keyed request')
      void send(A, gateways.keyOf(B))
      await tick()
      const closed = closing(B)
      await tick()
      await clock.tickAsync(1_999)
      expect(closed.isClosed).to.equal(false)
      await clock.tickAsync(1)
      await tick()
      expect(closed.isClosed).to.equal(true)
    })
  })

  for (const [what, persisted] of [
    ['was answered', 'yes'],
    ['waits for Kafka', 'unknown']
  ] as const) {
    it(`are known to their owner when it was killed and started again while the first one ${what}`, async () => {
      const key = gateways.keyOf(B)
      gateways.kafka.isUp = persisted === 'yes'
      const first = send(A, key, 'one\ntwo')
      if (persisted === 'yes') await first
      else await tick()
      gateways.kill(B)
      gateways.kafka.giveUp()
      expect((await first).persisted).to.equal(persisted)
      await gateways.start(B)
      gateways.kafka.isUp = true
      gateways.kafka.deliver()
      expect((await send(C, key, 'one\ntwo')).persisted).to.equal('yes')
      expect((await send(A, key, 'one\ntwo')).replayed).to.equal('true')
      expect(gateways.kafka.accepted).to.deep.equal([`one at ${B}`, `two at ${B}`])
    })
  }

  it('get the receipt of the owner when their client prefers not to wait, also while an earlier one is under way', async () => {
    const key = gateways.keyOf(B)
    gateways.kafka.isUp = false
    const prefer = { prefer: 'respond-async' }
    const first = await soon(send(A, key, 'one', prefer))
    expect(first).to.include({ status: 202, persisted: 'pending', reach: 'deployment', replayed: undefined })
    for (const at of [A, B, C])
      expect(await soon(send(at, key, 'one', prefer))).to.deep.equal({ ...first, replayed: 'true' })
    gateways.kafka.deliver()
    gateways.kafka.giveUp()
    await tick()
    expect(await send(C, key)).to.include({ status: 200, persisted: 'yes' })
    expect(gateways.kafka.accepted).to.deep.equal([`one at ${B}`])
  })

  it('say that it is not known what they have written when the answer of the owner is lost', async () => {
    const key = gateways.keyOf(B)
    gateways.lost = 'keyed request'
    const seen = await send(A, key)
    expect(seen).to.include({ status: 503, persisted: 'unknown' })
    expect(detailOf(seen)).to.equal(
      `the gateway ${B}, which owns the key, does not answer. Whether it has written the records of this request is not known: send it again later with the same Idempotency-Key`
    )
    gateways.lost = undefined
    expect(await send(C, key)).to.include({ status: 200, replayed: 'true' })
    expect(gateways.kafka.accepted).to.have.length(1)
  })

  it('are answered 503, and have written nothing, where too many are under way at their owner', async () => {
    gateways.onCall = () => {
      throw new PeerError('too many calls', { name: 'OverloadedError', message: 'too many calls', code: 'overloaded' })
    }
    const seen = await send(A, gateways.keyOf(B))
    expect(seen).to.include({ status: 503, persisted: 'no', retryAfter: '1' })
    expect(JSON.parse(seen.body)).to.include({ code: 'overloaded' })
    expect(detailOf(seen)).to.match(/refuses: too many calls. This request has written nothing/)
    gateways.onCall = () => undefined
    expect((await send(A, gateways.keyOf(B))).status).to.equal(200)
  })

  it('are answered with what their owner kept before the list changed, where they come in there', async () => {
    const key = gateways.keyOf(B)
    const first = await gateways.at(B).process.send(key, 'one')
    gateways.kill(B)
    gateways.kill(C)
    gateways.kill(A)
    const list = [...NAMES, 'gw-d:8091', 'gw-e:8091', 'gw-f:8091']
    const again = await gateways.start(B, list)
    await gateways.refresh()
    expect(await again.process.send(key, 'one')).to.deep.equal({ ...first, replayed: 'true' })
  })

  it('are refused where the lists of two gateways differ, and both say so', async () => {
    gateways.kill(B)
    await gateways.start(B, [A, B])
    const key = gateways.keyOf(B)
    const sent = send(A, key)
    await tick()
    expect(gateways.kafka.accepted).to.deep.equal([])
    expect(errors()).to.deep.equal([
      'the gateways have different peers.addresses: requests with keys are refused (503)'
    ])
    const said = `the gateway ${B} does not share keys of requests with this one: its peers.addresses differ, or it is an earlier build`
    const warnings = () => gateways.lines.filter(({ message }) => message === said).length
    await clock.tickAsync(9_999)
    await gateways.refresh()
    const others = [send(A, gateways.keyOf(B))]
    await tick()
    expect(warnings(), 'a gateway that was just started does so for a moment').to.equal(0)
    await clock.tickAsync(1)
    await gateways.refresh()
    others.push(send(A, gateways.keyOf(B)))
    await tick()
    expect(warnings()).to.equal(1)
    const seen = await refused(sent)
    expect(seen).to.include({ status: 503, persisted: 'no' })
    expect(detailOf(seen)).to.contain('peers.addresses differ')
    await Promise.all(others)
    expect(gateways.kafka.accepted).to.deep.equal([])
  })

  it('are refused when another gateway answers at the entry of this one', async () => {
    const former = gateways.at(A)
    gateways.running.set(A, { ...(await gateways.create(A)), name: A })
    for (const listener of former.peers.whenRefreshed) listener()
    const seen = await refused(former.process.send(gateways.keyOf(A), 'one'))
    expect(seen).to.include({ status: 503, persisted: 'no' })
    expect(errors().join()).to.contain(`another gateway answers at ${A}`)
    expect(gateways.kafka.accepted).to.deep.equal([])
  })

  it('are passed on to none of several processes that answer at the entry of their owner', async () => {
    const key = gateways.keyOf(B)
    gateways.doubled.add(B)
    const seen = await refused(send(A, key))
    expect(seen).to.include({ status: 503, persisted: 'no' })
    expect(detailOf(seen)).to.contain(`the gateway ${B}, which owns the key, cannot be reached`)
    expect(gateways.kafka.accepted).to.deep.equal([])
    gateways.doubled.clear()
    expect((await send(A, key)).persisted).to.equal('yes')
  })

  it('are refused until their gateway has found itself in the list', async () => {
    gateways.kill(A)
    const late = await gateways.create(A)
    const key = gateways.keyOf(A)
    const early = await refused(late.process.send(key, 'one'))
    expect(early).to.include({ status: 503, persisted: 'no', reach: 'deployment' })
    expect(detailOf(early)).to.contain('does not know yet which of peers.addresses it is')
    await gateways.appear(late)
    expect(await late.process.send(key, 'one')).to.include({ status: 200, persisted: 'yes' })
  })

  for (const [what, list, looks] of [
    ['has one entry', [A], 1],
    ['does not have this gateway', [B, C], LOOKS]
  ] as const) {
    it(`hold at one gateway when the list ${what}`, async () => {
      gateways = new KeyGateways(NAMES)
      const { process } = await gateways.start(A, list)
      for (const name of list) if (name !== A) await gateways.start(name, [name])
      await gateways.refresh(looks)
      const key = gateways.keyOf(B)
      expect(await process.send(key, 'one')).to.include({ status: 200, reach: 'gateway' })
      expect(gateways.lines.map(({ message }) => message).join()).to.contain('hold at this gateway only')
    })
  }

  describe('that disagree on who shares them', () => {
    const REFUSED =
      'some gateways share keys of requests and others do not: requests with keys are refused (503); compare peers.addresses and builds'
    const statusAt = async (at: string, owner: string): Promise<number> =>
      (await refused(send(at, gateways.keyOf(owner)))).status

    for (const list of [[A], [B, C]]) {
      it(`are refused at one that is started with the list ${list.join()}, while others share them`, async () => {
        gateways.kill(A)
        await gateways.start(A, list)
        await gateways.refresh(LOOKS)
        for (const owner of NAMES) expect(await statusAt(A, owner), owner).to.equal(503)
        for (const name of [B, C]) {
          expect(await statusAt(name, name)).to.equal(200)
          expect(await statusAt(name, A)).to.equal(503)
        }
        expect(errors()).to.include(REFUSED)
        expect(
          gateways
            .at(A)
            .owners.warnings.map(({ text }) => text)
            .join()
        ).to.match(/^requests with an Idempotency-Key are refused \(503\): /)
        for (const name of [B, C]) gateways.kill(name)
        await gateways.refresh(LOOKS)
        if (list.length === 1) expect(await statusAt(A, B)).to.equal(200)
      })
    }

    it('are refused at those that share them, while one serves them by itself that does not reach them', async () => {
      gateways.kill(A)
      for (const name of [B, C]) gateways.cut.add(`${A}>${name}`)
      await gateways.start(A, [A])
      await gateways.refresh(LOOKS)
      expect(await statusAt(A, B)).to.equal(200)
      expect(await statusAt(B, B)).to.equal(503)
      gateways.paused.add(A)
      await gateways.refresh(LOOKS)
      expect(await statusAt(B, B), 'one that is not called for a moment').to.equal(503)
      gateways.paused.clear()
      gateways.cut.clear()
      await gateways.refresh(LOOKS)
      expect([await statusAt(A, A), await statusAt(C, C)]).to.deep.equal([503, 200])
    })

    it('are refused at those that share them, while one runs an earlier build', async () => {
      gateways.kill(A)
      const { peers } = await gateways.start(A)
      peers.handlers.clear()
      await gateways.refresh(LOOKS)
      for (const name of [B, C]) expect(await statusAt(name, name)).to.equal(503)
      expect(errors()).to.include(REFUSED)
      gateways.kill(A)
      await gateways.start(A)
      await gateways.refresh(LOOKS)
      for (const name of NAMES) expect(await statusAt(name, name)).to.equal(200)
    })
  })

  it('are carried out when an earlier build is gone, though a third gateway answers only then', async () => {
    const answers: ((sharing: string) => void)[] = []
    gateways.at(B).peers.handlers.clear()
    gateways
      .at(C)
      .peers.handlers.set('keys of requests', (_, { from }) =>
        from === gateways.at(A).id ? new Promise(resolve => answers.push(resolve)) : 'shared'
      )
    await gateways.refresh()
    gateways.kill(B)
    await gateways.start(B)
    expect(answers).to.have.length(3)
    // The earlier build has answered the first look, which ends only now.
    answers[0]!('shared')
    await tick()
    expect((await send(A, gateways.keyOf(A))).status).to.equal(200)
    for (const answer of answers) answer('shared')
  })

  it('are a warning while an owner is away, but not for a moment only', async () => {
    const warningsOf = ({ owners }: KeyGateway): readonly string[] => owners.warnings.map(({ text }) => text)
    expect(warningsOf(gateways.at(A))).to.deep.equal([])
    gateways.kill(B)
    await gateways.refresh(2)
    expect(warningsOf(gateways.at(A))).to.deep.equal([])
    await gateways.refresh()
    expect(warningsOf(gateways.at(A))).to.deep.equal([
      `requests with an Idempotency-Key are refused (503) whose key the gateway ${B} owns, because it cannot be reached`
    ])
    await gateways.start(B)
    for (const name of NAMES) expect(warningsOf(gateways.at(name))).to.deep.equal([])
  })
})
