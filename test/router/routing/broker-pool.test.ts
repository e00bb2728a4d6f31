import { expect } from 'chai'
import type { BrokerNode } from '../../../src/core/model.js'
import type { BrokerProxy } from '../../../src/router/dispatcher/broker-proxy.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { BrokerPool, ClusterIdentity } from '../../../src/router/routing/broker-pool.js'

const node = (nodeId: number, port = 9092, host = `broker-${nodeId}`): BrokerNode => ({
  nodeId,
  host,
  port,
  rack: null
})

/** A proxy as the pool sees it, which the test gives requests. */
class FakeProxy {
  inFlight: string[] = []
  unsent: string[] = []
  controlLoad = 0
  isStopped = false
  tidiedAt: number | undefined
  readonly node: BrokerNode

  constructor(node: BrokerNode) {
    this.node = node
  }
  get held(): number {
    return this.inFlight.length
  }
  drain(): string[] {
    return this.unsent.splice(0)
  }
  stop(): string[] {
    this.isStopped = true
    return [...this.drain(), ...this.inFlight.splice(0)]
  }
  tidy(now: number): void {
    this.tidiedAt = now
  }
}

describe('broker pool', () => {
  let created: FakeProxy[]
  let pool: BrokerPool
  beforeEach(() => {
    created = []
    pool = new BrokerPool({
      brokerBackoffMs: 100,
      brokerBackoffMaxMs: 1_000,
      random: () => 1,
      createProxy: node => {
        const proxy = new FakeProxy(node)
        created.push(proxy)
        return proxy as unknown as BrokerProxy
      }
    })
  })

  const names = (requests: readonly OpenRequest[]): string[] => requests as unknown as string[]
  const proxyOf = (nodeId: number): BrokerProxy => pool.upProxyOf(nodeId, Number.POSITIVE_INFINITY)!
  const isUp = (nodeId: number, now: number): boolean => pool.upProxyOf(nodeId, now) !== undefined

  it('keeps a broker that stays where it is, and replaces one whose host or port is another', () => {
    pool.apply([node(1), node(2), node(3)])
    created[1]!.inFlight = ['of 2']
    created[2]!.inFlight = ['of 3']
    const back = pool.apply([node(1), node(2, 9093), node(3, 9092, 'elsewhere')])
    expect(names(back)).to.deep.equal(['of 2', 'of 3'])
    expect(created.map(({ isStopped }) => isStopped)).to.deep.equal([false, true, true, false, false])
    expect(pool.nodes().map(({ host, port }) => `${host}:${port}`)).to.deep.equal([
      'broker-1:9092',
      'broker-2:9093',
      'elsewhere:9092'
    ])
  })

  describe('a broker that metadata does not name', () => {
    beforeEach(() => pool.apply([node(1), node(2)]))
    const without2 = (): string[] => names(pool.apply([node(1)]))

    it('pixy A1 gives back at once what was not sent, and is forgotten after three answers', () => {
      created[1]!.unsent = ['waits']
      expect(without2()).to.deep.equal(['waits'])
      created[1]!.unsent = ['came later']
      expect(without2(), 'only the first time').to.deep.equal([])
      expect(pool.nodeIds()).to.deep.equal([1, 2])
      expect(without2()).to.deep.equal(['came later'])
      expect(pool.nodeIds()).to.deep.equal([1])
      expect(created[1]!.isStopped).to.equal(true)
      expect(created[0]!.isStopped).to.equal(false)
    })

    it('is kept as long as a request is on its way to it', () => {
      created[1]!.inFlight = ['in flight']
      for (let answers = 0; answers < 5; answers++) without2()
      expect(pool.nodeIds()).to.deep.equal([1, 2])
      created[1]!.inFlight = []
      without2()
      expect(pool.nodeIds()).to.deep.equal([1])
    })

    it('is asked nothing meanwhile, and at once when it is named again, whatever its pause', () => {
      pool.failed(proxyOf(2), 0)
      without2()
      without2()
      expect(pool.any(50)!.node.nodeId).to.equal(1)
      expect(pool.any(1_000)!.node.nodeId, 'though its pause is over').to.equal(1)
      pool.apply([node(1), node(2)])
      expect(isUp(2, 0)).to.equal(true)
      without2()
      without2()
      expect(pool.nodeIds(), 'it counts anew').to.deep.equal([1, 2])
    })

    it('is not forgiven its failure by metadata that has named it all the time', () => {
      pool.failed(proxyOf(2), 0)
      pool.apply([node(1), node(2)])
      expect([isUp(2, 99), isUp(2, 100)]).to.deep.equal([false, true])
    })

    it('is kept by an answer that names no broker at all', () => {
      for (let answers = 0; answers < 5; answers++) pool.apply([])
      expect(pool.nodeIds()).to.deep.equal([1, 2])
    })
  })

  it('a broker is up for 30 s after its last answer; before, and after, nothing is known of it', () => {
    pool.apply([node(1), node(2)])
    const statesAt = (now: number) => pool.views(now).map(({ state }) => state)
    expect(statesAt(0)).to.deep.equal(['notAsked', 'notAsked'])
    pool.answered(proxyOf(2), 1_000)
    expect(statesAt(30_999)).to.deep.equal(['notAsked', 'up'])
    expect(statesAt(31_000)).to.deep.equal(['notAsked', 'notAsked'])
    pool.failed(proxyOf(2), 32_000)
    expect(statesAt(32_000)).to.deep.equal(['notAsked', 'down'])
  })

  describe('a broker that is gone', () => {
    const HOUR_MS = 3_600_000
    const isKnown = () => true
    const views = (now: number) => pool.views(now).map(({ nodeId, host, state, forMs }) => [nodeId, host, state, forMs])
    beforeEach(() => {
      pool.apply([node(1), node(2)])
      for (let answers = 0; answers < 3; answers++) pool.apply([node(1)], 1, 1_000)
    })
    const offline = (topicOn: Record<number, string>, now: number, known: () => boolean = isKnown): void =>
      pool.offline(new Map(Object.entries(topicOn).map(([nodeId, topic]) => [Number(nodeId), topic])), known, now)

    it('is named for an hour where no replica on it is known', () => {
      offline({}, HOUR_MS)
      expect(views(1_000 + HOUR_MS)).to.deep.equal([
        [1, 'broker-1', 'notAsked', 0],
        [2, 'broker-2', 'gone', HOUR_MS]
      ])
      expect(views(1_001 + HOUR_MS)).to.deep.equal([[1, 'broker-1', 'notAsked', 0]])
    })

    it('is named for as long as a partition has a replica on it, and not after this has moved', () => {
      offline({ 2: 'orders' }, 2 * HOUR_MS)
      expect(views(2 * HOUR_MS)[1]).to.deep.equal([2, 'broker-2', 'gone', 2 * HOUR_MS - 1_000])
      offline({ 2: 'orders' }, 3 * HOUR_MS)
      expect(views(3 * HOUR_MS)).to.have.length(2)
      offline({}, 3 * HOUR_MS)
      expect(views(3 * HOUR_MS)).to.deep.equal([[1, 'broker-1', 'notAsked', 0]])
    })

    it('stays for an hour when the topic with the replica is not looked up any more: nothing says whether it has moved', () => {
      offline({ 2: 'orders' }, 2 * HOUR_MS)
      offline({}, 3 * HOUR_MS, () => false)
      expect(views(3 * HOUR_MS)).to.have.length(2)
      offline({}, 3 * HOUR_MS + 1, () => false)
      expect(views(3 * HOUR_MS + 1)).to.have.length(1)
    })

    it('is up again as soon as Kafka names it', () => {
      offline({ 2: 'orders' }, 2_000)
      pool.apply([node(1), node(2)])
      offline({ 2: 'orders' }, 3_000)
      expect(views(3_000)).to.deep.equal([
        [1, 'broker-1', 'notAsked', 0],
        [2, 'broker-2', 'notAsked', 0]
      ])
    })

    it('is named without an address where Kafka has named it as the place of a replica only', () => {
      offline({ 7: 'orders' }, 5_000)
      expect(views(6_000)[2]).to.deep.equal([7, '', 'gone', 1_000])
    })

    it('is one of a hundred at most', () => {
      offline(Object.fromEntries(Array.from({ length: 300 }, (_, at) => [at + 10, 'orders'])), 5_000)
      expect(views(5_000).filter(([, , state]) => state === 'gone')).to.have.length(100)
    })
  })

  describe('a broker that fails', () => {
    beforeEach(() => pool.apply([node(1), node(2)]))

    it('pauses, longer each time, until it answers', () => {
      expect(pool.failed(proxyOf(1), 0)).to.equal(100)
      expect(isUp(1, 99)).to.equal(false)
      expect(isUp(1, 100)).to.equal(true)
      expect(pool.nodesUp(50)).to.equal(1)
      expect(pool.failed(proxyOf(1), 50), 'known already').to.equal(undefined)
      expect(pool.failed(proxyOf(1), 100)).to.equal(300)
      expect(pool.answered(proxyOf(1), 0)).to.equal(true)
      expect(pool.answered(proxyOf(1), 0), 'it was up').to.equal(false)
      expect(isUp(1, 101)).to.equal(true)
      expect(pool.failed(proxyOf(1), 200), 'from the start again').to.equal(300)
    })

    it('counts no more once it has been replaced', () => {
      const former = proxyOf(1)
      pool.apply([node(1, 9093), node(2)])
      expect(pool.failed(former, 0)).to.equal(undefined)
      expect(pool.answered(former, 0)).to.equal(false)
      expect(isUp(1, 0)).to.equal(true)
    })

    it('is asked again at once when all are forgiven', () => {
      pool.failed(proxyOf(1), 0)
      pool.failed(proxyOf(2), 0)
      expect(pool.any(50)).to.equal(undefined)
      pool.forgive()
      expect(pool.nodesUp(50)).to.equal(2)
    })

    it('has another pause to begin with where the caller says so', () => {
      expect(pool.failed(proxyOf(1), 0, 400)).to.equal(400)
    })
  })

  it('has the least loaded broker answer what any can, in turn where none is', () => {
    pool.apply([node(1), node(2), node(3)])
    const asked = [1, 2, 3, 4, 5, 6].map(() => pool.any(0)!.node.nodeId)
    expect([...asked].sort()).to.deep.equal([1, 1, 2, 2, 3, 3])
    expect(asked.slice(0, 3)).to.deep.equal(asked.slice(3))
    created[0]!.controlLoad = 2
    created[1]!.controlLoad = 1
    created[2]!.controlLoad = 2
    expect([1, 2, 3].map(() => pool.any(0)!.node.nodeId)).to.deep.equal([2, 2, 2])
  })

  it('asks brokers that are up for metadata, then the first addresses, then brokers that are down, each once', () => {
    pool.apply([node(1), node(2), node(3)])
    pool.failed(proxyOf(2), 0)
    const seeds = [node(1), { host: 'seed', port: 9092 }]
    const asked = (): string[] => pool.addresses(50, seeds).map(({ host }) => host)
    const first = asked()
    expect(first).to.have.members(['broker-1', 'broker-3', 'seed', 'broker-2'])
    expect(first.slice(0, 2)).to.have.members(['broker-1', 'broker-3'])
    expect(first.slice(2)).to.deep.equal(['seed', 'broker-2'])
    const begun = new Set([first[0], asked()[0], asked()[0]])
    expect(begun, 'in turn').to.deep.equal(new Set(['broker-1', 'broker-3']))
  })

  it('has every broker look through its connections, up or down', () => {
    pool.apply([node(1), node(2)])
    pool.failed(proxyOf(2), 0)
    pool.tidy(7)
    expect(created.map(({ tidiedAt }) => tidiedAt)).to.deep.equal([7, 7])
  })

  it('hands over all requests when it stops', () => {
    pool.apply([node(1), node(2)])
    created[0]!.inFlight = ['a']
    created[1]!.unsent = ['b']
    expect(names(pool.stop())).to.have.members(['a', 'b'])
    expect(pool.size).to.equal(0)
  })
})

describe('which cluster is connected', () => {
  let cluster: ClusterIdentity
  beforeEach(() => (cluster = new ClusterIdentity()))

  it('is told by the first broker that names it, and by each that names another one', () => {
    expect([cluster.see(null), cluster.id]).to.deep.equal([undefined, undefined])
    expect(cluster.see('one')).to.deep.equal({ before: undefined, now: 'one' })
    expect(cluster.see('one')).to.equal(undefined)
    expect(cluster.see(null)).to.equal(undefined)
    expect(cluster.see('two')).to.deep.equal({ before: 'one', now: 'two' })
    expect(cluster.id).to.equal('two')
  })

  it('is the same for who names none, and for everybody as long as none is known', () => {
    expect([cluster.isSame(null), cluster.isSame('one')]).to.deep.equal([true, true])
    cluster.see('one')
    expect([cluster.isSame(null), cluster.isSame('one'), cluster.isSame('two')]).to.deep.equal([true, true, false])
  })
})
