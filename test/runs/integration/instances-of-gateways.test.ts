import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { ownerAmong } from '../../../src/deployment/verbs/peer-instances.js'
import type { InstanceName, InstanceSettings, InstanceVerbs } from '../../../src/verbs/verbs.js'
import { done, instanceSettings as settings } from '../../support/instances.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { LinkedGateway } from '../linked-gateways.js'
import { inWorld } from './in-world.js'

const AUTO_COMMIT_MS = 5_000
/** One record a read. */
const single = { timeoutMs: undefined, maxBytes: 1 }

describe('consumer instances of gateways that know each other', () => {
  inWorld()
  const stage = onCluster()
  let all: LinkedGateway[]
  let topic: string
  let instancesTopic: string
  let instance: InstanceName
  beforeEach(async () => {
    all = []
    topic = await stage.topic()
    instancesTopic = freshTopic('instances')
    instance = { groupId: freshTopic('billing'), name: 'one' }
  })
  afterEach(async () => {
    for (const gateway of [...all]) await gateway.close()
  })

  const start = (id: string): Promise<LinkedGateway> =>
    LinkedGateway.open(all, id, {
      brokers: stage.bootstrap.split(','),
      consumer: { sessionTimeoutMs: 6_000, heartbeatIntervalMs: 500, instancesTopic }
    })
  const pair = async (): Promise<[LinkedGateway, LinkedGateway]> => [await start('a'), await start('b')]
  const verbsOf = ({ verbs }: LinkedGateway): InstanceVerbs => verbs.instances
  /** The gateway in whose memory the instance is, and the other one. */
  const ownerFirst = ([a, b]: [LinkedGateway, LinkedGateway]): [LinkedGateway, LinkedGateway] =>
    a.castellan.instances.has(instance) ? [a, b] : [b, a]
  const produce = async (count: number): Promise<void> => {
    const records = Array.from({ length: count }, (_, at) => ({ topic, partition: 0, key: null, value: String(at) }))
    const options = { partitioner: 'murmur2', deadlineMs: 30_000 } as const
    for (const { type } of await all[0]!.verbs.produce(records, options).outcomes()) expect(type).to.equal('delivered')
  }
  const create = async (at: LinkedGateway, more: Partial<InstanceSettings> = {}): Promise<void> => {
    expect(done(await verbsOf(at).create(instance, { ...settings, ...more }, 'client'))).to.equal(true)
  }
  /** Reads so many records one by one, and accepts them. */
  const read = async (at: LinkedGateway, count: number): Promise<number[]> => {
    const offsets: number[] = []
    while (offsets.length < count) {
      const { records, settle } = done(await verbsOf(at).read(instance, single))
      settle(records.length)
      offsets.push(...records.map(({ offset }) => offset))
    }
    return offsets
  }
  const committed = async (at: LinkedGateway): Promise<number | undefined> =>
    done(await verbsOf(at).committed(instance, [{ topic, partition: 0 }]))[0]?.offset
  const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, at) => from + at)
  const assign = async (at: LinkedGateway): Promise<void> =>
    done(await verbsOf(at).assign(instance, [{ topic, partition: 0 }]))

  it('commit nothing at the gateway from which another one has taken over assigned partitions', async () => {
    const gateways = await pair()
    await produce(40)
    await create(gateways[0], { autoCommitMs: AUTO_COMMIT_MS })
    await assign(gateways[0])
    const [former, owner] = ownerFirst(gateways)
    expect(await read(former, 11)).to.deep.equal(upTo(11))
    former.cut()
    expect(await read(owner, 40)).to.deep.equal(upTo(40))
    done(await verbsOf(owner).commit(instance, 'accepted'))
    // The moment of the automatic commit of the former owner comes.
    await pass(2 * AUTO_COMMIT_MS)
    expect(await committed(owner)).to.equal(40)
  })

  it('are not read further at the gateway from which another one has taken over assigned partitions', async () => {
    const gateways = await pair()
    await produce(40)
    await create(gateways[0])
    await assign(gateways[0])
    const [former, owner] = ownerFirst(gateways)
    expect(await read(former, 11)).to.deep.equal(upTo(11))
    former.cut()
    expect(await read(owner, 40)).to.deep.equal(upTo(40))
    done(await verbsOf(owner).commit(instance, 'accepted'))
    await pass(2_000)
    // It finds out by reading, and continues the instance from what the group has committed.
    expect(done(await verbsOf(former).read(instance, single)).records).to.deep.equal([])
  })

  it('show a change that one gateway has confirmed at each of them, also when the link between them was cut', async () => {
    const gateways = await pair()
    await create(gateways[0])
    const [former, owner] = ownerFirst(gateways)
    former.cut()
    done(await verbsOf(owner).subscribe(instance, { topics: [topic] }))
    expect(done(await verbsOf(former).subscription(instance)), 'while it is cut').to.deep.equal([topic])
    done(await verbsOf(owner).unsubscribe(instance))
    former.join()
    expect(done(await verbsOf(former).subscription(instance)), 'afterwards').to.deep.equal([])
  })

  it('keep each change that a gateway has confirmed while another one takes the instance over', async () => {
    const gateways = await pair()
    await create(gateways[0])
    const [a, b] = gateways
    a.cut()
    for (let round = 0; round < 40; round++) {
      const [one, other] = round % 2 === 0 ? [a, b] : [b, a]
      const partition = { topic, partition: round }
      const beside = [one, other].map(async at => {
        for (let turn = 0; turn < round % 7; turn++) await pass(1)
        await verbsOf(at).assignment(instance)
      })
      const changed = await verbsOf(one).assign(instance, [partition])
      await Promise.all(beside)
      // A gateway that has lost the race too often answers 503.
      if (changed.type !== 'done') expect(changed).to.include({ code: 'clusterChanged' })
      else expect(done(await verbsOf(other).assignment(instance)), `round ${round}`).to.deep.equal([partition])
    }
  })

  it('are found at their next gateway also while somebody creates one of the same name there', async () => {
    const gateways = await pair()
    await create(gateways[0])
    const [former, owner] = ownerFirst(gateways)
    former.cut()
    const verbs = verbsOf(owner)
    const [created, found] = await Promise.all([verbs.create(instance, settings, 'client'), verbs.assignment(instance)])
    expect(done(created)).to.equal(false)
    expect(done(found)).to.deep.equal([])
  })

  it('are created while others ask for one of this name, and by one of two who create it', async () => {
    const verbs = verbsOf(await start('a'))
    const asked = verbs.assignment(instance)
    const creating = [1, 2].map(() => verbs.create(instance, settings, 'client'))
    expect((await asked).type).to.equal('unknownInstance')
    expect((await Promise.all(creating)).map(done)).to.deep.equal([true, false])
    expect(done(await verbs.assignment(instance))).to.deep.equal([])
  })

  for (const [what, includes] of [
    ['', undefined],
    [' that restricts the client', (name: string) => name === topic]
  ] as const)
    it(`know the topics of a pattern${what} before another gateway answers which rights a request needs`, async () => {
      const gateways = await pair()
      await create(gateways[0])
      const [former, owner] = ownerFirst(gateways)
      done(await verbsOf(former).subscribe(instance, { pattern: `${topic}.*`, includes }))
      expect(done(await verbsOf(former).subscription(instance)), 'at once').to.deep.equal([topic])
      former.cut()
      expect(done(await verbsOf(owner).subscription(instance)), 'at the next owner').to.deep.equal([topic])
    })

  it('are removed and created anew at any gateway: nobody remembers where they were', async () => {
    const gateways = await pair()
    for (const [at, other] of [gateways, [gateways[1], gateways[0]]] as const) {
      await create(at)
      expect(done(await verbsOf(other).create(instance, settings, 'client'))).to.equal(false)
      done(await verbsOf(other).remove(instance))
      expect(await verbsOf(at).subscription(instance)).to.deep.equal({ type: 'unknownInstance' })
      expect(await verbsOf(at).commit(instance, 'accepted')).to.deep.equal({ type: 'unknownInstance' })
    }
    await create(gateways[0])
  })

  it('are created anew at a gateway that has not seen that another one has removed them', async () => {
    const gateways = await pair()
    await create(gateways[0])
    const [former, owner] = ownerFirst(gateways)
    former.cut()
    done(await verbsOf(owner).remove(instance))
    expect(done(await verbsOf(former).create(instance, settings, 'client'))).to.equal(true)
  })

  it('go on from the committed offsets when their gateway ends: what was only read comes again', async () => {
    const gateways = await pair()
    await produce(9)
    await create(gateways[0])
    done(await verbsOf(gateways[0]).subscribe(instance, { topics: [topic] }))
    const [former, owner] = ownerFirst(gateways)
    expect(await read(owner, 3)).to.deep.equal(upTo(3))
    done(await verbsOf(owner).commit(instance, 'accepted'))
    expect(await read(owner, 3)).to.deep.equal(upTo(6, 3))
    await former.close()
    expect(done(await verbsOf(owner).subscription(instance))).to.deep.equal([topic])
    expect(await read(owner, 6)).to.deep.equal(upTo(9, 3))
  })

  it('are handed over when a gateway joins: what an automatic commit covers does not come again', async () => {
    const first = await start('a')
    for (let at = 0; ownerAmong(['a', 'b'], 'default', instance) !== 'b'; at++)
      instance = { ...instance, name: `n${at}` }
    await produce(20)
    await create(first, { autoCommitMs: 60_000 })
    await assign(first)
    expect(await read(first, 10)).to.deep.equal(upTo(10))
    await start('b')
    done(await verbsOf(first).assignment(instance))
    expect(first.castellan.instances.has(instance)).to.equal(false)
    expect(await read(first, 10)).to.deep.equal(upTo(20, 10))
  })

  it('belong to the last one that has written them when two gateways do not see each other', async () => {
    const gateways = await pair()
    await produce(4)
    await create(gateways[0])
    const [a, b] = gateways
    a.cut()
    // Each is the owner as it sees it. A client that alternates between them sees each change, and records again that it
    // has not committed.
    await assign(a)
    expect(await read(a, 2)).to.deep.equal([0, 1])
    expect(done(await verbsOf(b).assignment(instance))).to.deep.equal([{ topic, partition: 0 }])
    expect(await read(b, 2)).to.deep.equal([0, 1])
    done(await verbsOf(b).commit(instance, 'accepted'))
    // What it has read at `a` is no longer accepted there: an empty commit commits nothing.
    done(await verbsOf(a).commit(instance, 'accepted'))
    expect(await committed(a)).to.equal(2)
    expect(await read(a, 2)).to.deep.equal([2, 3])
    done(await verbsOf(b).remove(instance))
    expect(await verbsOf(a).assignment(instance)).to.deep.equal({ type: 'unknownInstance' })
  })
})
