import { expect } from 'chai'
import { FakeTime } from '../../support/fake-time.js'
import { QueueGateway } from './queue-gateways.js'

describe('the settlement of messages that other gateways hold', () => {
  const all = new Map<string, QueueGateway>()
  const calls: string[] = []
  let [a, b, c]: QueueGateway[] = []
  let time: FakeTime
  const made: QueueGateway[] = []
  const open = (id: string, gateway: number): QueueGateway => {
    const one = new QueueGateway(id, gateway, all, calls, time)
    made.push(one)
    return one
  }
  beforeEach(() => {
    calls.length = 0
    time = new FakeTime()
    ;[a, b, c] = ['a', 'b', 'c'].map((id, at) => open(id, at + 1))
  })
  afterEach(async () => {
    const drained = made.splice(0).map(({ scripted }) => scripted.queues.drain(0))
    await time.pass(20)
    await Promise.all(drained)
    time.restore()
    all.clear()
  })
  const settles = (): string[] => calls.filter(call => call.includes('settle'))
  const outcomesOf = async (words: Parameters<QueueGateway['settle']>[0], at = a!): Promise<string[]> =>
    (await at.settle(words)).map(({ outcome }) => outcome)

  it('is passed on to each holder in one call, and answered in the order of the request', async () => {
    const ofA = await a!.give(1, 2)
    const ofB = await b!.give(11, 12, 13, 14)
    const ofC = await c!.give(21)
    const words = { accept: [ofB[0]!, ofA[0]!], release: [ofC[0]!], reject: [ofB[1]!, ofA[1]!], renew: [ofB[2]!] }
    const results = await a!.settle(words)
    expect(results.map(({ token }) => token)).to.deep.equal([
      ...words.accept,
      ...words.release,
      ...words.reject,
      ...words.renew
    ])
    expect(results.map(({ outcome }) => outcome)).to.deep.equal(Array(6).fill('done'))
    expect(settles().sort()).to.deep.equal(['a>b settle 3', 'a>c settle 1'])
    expect(b!.scripted.reader.words).to.deep.equal(['accept 11', 'reject 12', 'renew 13'])
    expect(a!.scripted.reader.words).to.deep.equal(['accept 1', 'reject 2'])
    expect(results.at(-1)!.lockEndsAt).to.be.greaterThan(0)
  })

  it('asks the others once who they are, and nobody where all messages are its own', async () => {
    const ofA = await a!.give(1)
    await a!.settle({ accept: [...ofA, 'no token'] })
    expect(calls).to.deep.equal([])
    const [one, other] = await b!.give(11, 12)
    await a!.settle({ accept: [one!] })
    await a!.settle({ accept: [other!] })
    expect(calls).to.deep.equal(['a>b holder', 'a>c holder', 'a>b settle 1', 'a>b settle 1'])
  })

  it('asks the others once where several settlements need to know them', async () => {
    const tokens = await b!.give(11, 12)
    const results = await Promise.all(tokens.map(token => a!.settle({ accept: [token] })))
    expect(results.flat().map(({ outcome }) => outcome)).to.deep.equal(['done', 'done'])
    expect(calls.filter(call => call.includes('holder'))).to.deep.equal(['a>b holder', 'a>c holder'])
  })

  it('is refused by the holder for another topic or group', async () => {
    const tokens = await b!.give(11)
    const none = { release: [], reject: [], renew: [], delayMs: 0 }
    const results = await a!.verbs.queues.settle('orders', 'others', { ...none, accept: tokens }, 'someone')
    expect(results).to.deep.equal([{ token: tokens[0], outcome: 'invalid' }])
  })

  it('gets the first answer again from the holder', async () => {
    const tokens = await b!.give(11)
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['done'])
    expect(await outcomesOf({ accept: tokens }, c)).to.deep.equal(['done'])
    expect(b!.scripted.reader.words).to.deep.equal(['accept 11'])
  })

  for (const [reach, outcome] of [
    ['is cut off after it has heard', 'unknown'],
    ['hears nothing', 'unknown'],
    ['is gone', 'elsewhere'],
    ['is full', 'elsewhere'],
    ['is of an earlier build', 'elsewhere']
  ] as const)
    it(`is ${outcome} where the holder ${reach}, and is asked for once`, async () => {
      const ofB = await b!.give(11, 12)
      await a!.settle({ accept: [ofB[0]!] })
      calls.length = 0
      b!.reach = reach
      const ofC = await c!.give(21)
      expect(await outcomesOf({ accept: [ofB[1]!, ...ofC] })).to.deep.equal([outcome, 'done'])
      expect(settles()).to.deep.equal(['a>b settle 1', 'a>c settle 1'])
      expect(a!.scripted.metrics.ofTagged('settled_messages', { outcome })).to.equal(1)
      // The other one is counted by the gateway that holds it.
      expect(a!.scripted.metrics.of('settled_messages')).to.equal(1)
    })

  it('is done by a repeat after an answer that was lost, without asking Kafka again', async () => {
    const tokens = await b!.give(11)
    await a!.settle({ accept: ['no token'] })
    b!.reach = 'is cut off after it has heard'
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['elsewhere'])
    b!.reach = 'answers'
    await a!.settle({ renew: tokens })
    b!.reach = 'is cut off after it has heard'
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['unknown'])
    b!.reach = 'answers'
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['done'])
    expect(b!.scripted.reader.words).to.deep.equal(['renew 11', 'accept 11'])
  })

  it('is elsewhere while the holder is unknown, and lost once its gateway has been started again', async () => {
    const tokens = await b!.give(11)
    b!.end()
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['elsewhere'])
    const anew = open('b2', 2)
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['lost'])
    expect(await outcomesOf({ accept: tokens }, anew)).to.deep.equal(['lost'])
  })

  it('forgets a holder that is gone before its answer comes', async () => {
    const tokens = await b!.give(11)
    const settling = a!.settle({ accept: tokens })
    b!.end()
    expect((await settling).map(({ outcome }) => outcome)).to.deep.equal(['elsewhere'])
    open('b2', 2)
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['lost'])
  })

  it('finds the holder among gateways with the same name', async () => {
    const twins = [b!, open('twin of a', 1), open('twin of b', 2)]
    const tokens = await Promise.all(twins.map((twin, at) => twin.give(at)))
    expect(await outcomesOf({ accept: tokens.flat() })).to.deep.equal(['done', 'done', 'done'])
  })

  it('does not hold up own messages while it is not known who the others are', async () => {
    const [ofA, ofB] = [await a!.give(1), await b!.give(11)]
    const settling = a!.settle({ accept: [...ofB, ...ofA] })
    await Promise.resolve()
    expect(a!.scripted.reader.words).to.deep.equal(['accept 1'])
    expect((await settling).map(({ outcome }) => outcome)).to.deep.equal(['done', 'done'])
  })

  it('does not hold up messages of the others while it is not known who one of them is', async () => {
    const [known, unknown, ofC] = [await b!.give(11), await open('d', 4).give(31), await c!.give(21)]
    c!.reach = 'does not answer'
    const first = a!.settle({ renew: known })
    await time.pass(100)
    expect(b!.scripted.reader.words, 'that are known from now on').to.deep.equal(['renew 11'])
    const settling = a!.settle({ accept: [...ofC, ...known, ...unknown] })
    await time.pass(100)
    expect(settles()).to.deep.equal(['a>b settle 1', 'a>b settle 1', 'a>d settle 1'])
    for (const end of c!.unanswered) end()
    expect((await settling).map(({ outcome }) => outcome)).to.deep.equal(['elsewhere', 'done', 'done'])
    expect((await first).map(({ outcome }) => outcome)).to.deep.equal(['done'])
  })

  it('is passed on together where a gateway has been started again and again', async () => {
    let newest = b!
    const tokens = await newest.give(11)
    for (const id of ['b2', 'b3', 'b4', 'b5']) {
      newest.end()
      newest = open(id, 2)
      tokens.push(...(await newest.give(11)))
    }
    expect(await outcomesOf({ accept: tokens })).to.deep.equal(['lost', 'lost', 'lost', 'lost', 'done'])
    expect(settles()).to.deep.equal(['a>b5 settle 1', 'a>b5 settle 4'])
  })

  it('knows changed settings of the group before the change is answered', async () => {
    await b!.give(11)
    await a!.verbs.queues.configure('orders', 'workers', { start: 'latest' }, 1_000)
    expect(a!.scripted.changes).to.deep.equal([{ start: 'latest' }])
    expect(b!.scripted.changes).to.deep.equal([{}])
  })

  it('is unknown where the answer of a gateway makes no sense', async () => {
    const [token] = await b!.give(11)
    for (const answer of [null, 7, {}, [null], ['done'], [{}], [{ token: 7, outcome: 'done' }]]) {
      b!.serve('queue settle default', () => answer)
      const results = await a!.settle({ accept: [token!] })
      expect(results, JSON.stringify(answer)).to.deep.equal([{ token, outcome: 'unknown' }])
    }
  })
})
