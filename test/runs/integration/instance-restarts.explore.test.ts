import { expect } from 'chai'
import type { openCastellan } from '../../../src/client/open-castellan.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { InstanceName, InstanceRecord, InstanceSettings, InstanceVerbs } from '../../../src/verbs/verbs.js'
import { done, instanceSettings } from '../../support/instances.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const settings: InstanceSettings = { ...instanceSettings, idleMs: 300_000 }
const limits = { timeoutMs: undefined, maxBytes: undefined }
type Castellan = Awaited<ReturnType<typeof openCastellan>>

const textsOf = (records: readonly InstanceRecord[]): string[] => records.map(({ value }) => String(value))

describe('consumer instances whose process ends', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let topic: string
  let instancesTopic: string
  let instance: InstanceName
  beforeEach(async () => {
    topic = await stage.topic('orders', 2)
    instancesTopic = freshTopic('instances')
    instance = { groupId: freshTopic('billing'), name: 'one' }
  })

  const start = (consumer: object = {}): Promise<Castellan> =>
    stage.library({ consumer: { sessionTimeoutMs: 6_000, instancesTopic, ...consumer } })
  const produce = async (castellan: Castellan, partition: number, ...values: string[]): Promise<void> => {
    const records = values.map(value => ({ topic, partition, key: null, value }))
    const options = { partitioner: 'murmur2', deadlineMs: 30_000 } as const
    for (const { type } of await castellan.verbs.produce(records, options).outcomes())
      expect(type).to.equal('delivered')
  }
  const create = async ({ verbs }: Castellan, more: Partial<InstanceSettings> = {}): Promise<InstanceVerbs> => {
    expect(done(await verbs.instances.create(instance, { ...settings, ...more }, 'client'))).to.equal(true)
    return verbs.instances
  }
  /** Reads until there are so many records, and accepts them. */
  const read = async (instances: InstanceVerbs, count: number): Promise<string[]> => {
    const all: InstanceRecord[] = []
    while (all.length < count) {
      const { records, settle } = done(await instances.read(instance, limits))
      settle(records.length)
      all.push(...records)
    }
    return textsOf(all).sort()
  }
  const partitionsOf = (...partitions: number[]) => partitions.map(partition => ({ topic, partition }))

  it('go on in the next one: settings and subscription are those of before, and it reads on from what is committed', async () => {
    const first = await start()
    const instances = await create(first, { maxBytes: 77_777 })
    done(await instances.subscribe(instance, { topics: [topic] }))
    await produce(first, 0, 'a', 'b')
    await produce(first, 1, 'c')
    expect(await read(instances, 3)).to.deep.equal(['a', 'b', 'c'])
    done(await instances.commit(instance, 'accepted'))
    await produce(first, 0, 'd')
    expect(await read(instances, 1)).to.deep.equal(['d'])
    await first.close()
    const after = (await start()).verbs.instances
    expect(done(await after.settingsOf(instance))).to.deep.equal({ ...settings, maxBytes: 77_777 })
    expect(done(await after.subscription(instance))).to.deep.equal([topic])
    expect(await read(after, 1), 'it was not committed').to.deep.equal(['d'])
    done(await after.commit(instance, 'accepted'))
    const committed = done(await after.committed(instance, partitionsOf(0, 1)))
    expect(committed.map(({ partition, offset }) => [partition, offset])).to.deep.equal([
      [0, 3],
      [1, 1]
    ])
  })

  it('go on after what clients have got when they commit automatically, also between two commits', async () => {
    const first = await start()
    const instances = await create(first, { autoCommitMs: 60_000 })
    done(await instances.subscribe(instance, { topics: [topic] }))
    await produce(first, 0, 'a', 'b')
    expect(await read(instances, 2)).to.deep.equal(['a', 'b'])
    await first.close()
    const next = await start()
    await produce(next, 0, 'c')
    expect(await read(next.verbs.instances, 1)).to.deep.equal(['c'])
  })

  it('return what was written while no process had them, also when they begin at the end', async () => {
    const first = await start()
    const instances = await create(first, { start: 'latest' })
    done(await instances.assign(instance, partitionsOf(0)))
    expect(done(await instances.read(instance, { ...limits, timeoutMs: 500 })).records).to.deep.equal([])
    await first.close()
    const next = await start()
    await produce(next, 0, 'a')
    expect(await read(next.verbs.instances, 1)).to.deep.equal(['a'])
  })

  it('go on with assigned partitions from what is committed, wherever a seek had put them', async () => {
    const first = await start()
    const instances = await create(first)
    await produce(first, 0, 'a', 'b', 'c')
    done(await instances.assign(instance, partitionsOf(0)))
    expect(await read(instances, 3)).to.deep.equal(['a', 'b', 'c'])
    done(await instances.commit(instance, [{ topic, partition: 0, offset: 2, metadata: '' }]))
    done(await instances.seek(instance, [{ topic, partition: 0, position: 0 }]))
    await first.close()
    const after = (await start()).verbs.instances
    expect(done(await after.assignment(instance))).to.deep.equal(partitionsOf(0))
    expect(await read(after, 1)).to.deep.equal(['c'])
  })

  it('go on with a pattern, without the topic of the states', async () => {
    const first = await start()
    const instances = await create(first)
    done(await instances.subscribe(instance, { pattern: `(${topic}|${instancesTopic})` }))
    await produce(first, 0, 'a')
    expect(await read(instances, 1)).to.deep.equal(['a'])
    done(await instances.commit(instance, 'accepted'))
    await first.close()
    const next = await start()
    await produce(next, 1, 'b')
    expect(await read(next.verbs.instances, 1)).to.deep.equal(['b'])
    expect(done(await next.verbs.instances.subscription(instance))).to.deep.equal([topic])
  })

  it('are taken over from a process that hangs, which can commit nothing more', async () => {
    const hanging = await start()
    const instances = await create(hanging)
    done(await instances.subscribe(instance, { topics: [topic] }))
    await produce(hanging, 0, 'a', 'b', 'c')
    expect(await read(instances, 3)).to.deep.equal(['a', 'b', 'c'])
    done(await instances.commit(instance, [{ topic, partition: 0, offset: 1, metadata: '' }]))
    const next = await start()
    const after = next.verbs.instances
    done(await after.subscription(instance))
    await produce(next, 0, 'd')
    const texts = await read(after, 1)
    expect(texts.at(-1)).to.equal('d')
    const late = await instances.commit(instance, [{ topic, partition: 0, offset: 2, metadata: '' }])
    expect(late).to.include({ type: 'failed' })
    expect(done(await after.committed(instance, partitionsOf(0)))[0]!.offset).to.equal(1)
  })

  it('tell the process that has lost them, before it answers that they were changed or removed', async () => {
    const [former, owner] = await Promise.all([start(), start()])
    const instances = await create(former)
    const after = owner.verbs.instances
    const takenOver = { type: 'failed', code: 'clusterChanged', retriable: true }
    expect(done(await after.subscription(instance))).to.deep.equal([])
    expect(await instances.subscribe(instance, { topics: [topic] })).to.deep.include(takenOver)
    expect(done(await after.subscription(instance)), 'not changed by the former one').to.deep.equal([])
    done(await instances.subscribe(instance, { topics: [topic] }))
    // The former one has taken it back by this request.
    expect(await after.remove(instance)).to.deep.include(takenOver)
    expect(done(await instances.subscription(instance))).to.deep.equal([topic])
    done(await instances.remove(instance))
    expect(await after.settingsOf(instance)).to.deep.equal({ type: 'unknownInstance' })
  })

  it('are not removed before Kafka knows it', async () => {
    if (!stage.cluster.faults) {
      console.log('      SKIPPED on real Kafka, which takes no orders to misbehave')
      return
    }
    const first = await start()
    const instances = await create(first)
    stage.cluster.faults.add(
      { api: 'Produce', topic: instancesTopic },
      { type: 'error', errorCode: errorCodes.INVALID_RECORD }
    )
    expect(await instances.remove(instance)).to.include({ type: 'failed' })
    done(await instances.remove(instance))
    expect(await (await start()).verbs.instances.settingsOf(instance)).to.deep.equal({ type: 'unknownInstance' })
  })

  it('end with it when their states are kept in memory alone', async () => {
    const first = await start({ instancesTopic: '' })
    await create(first)
    await first.close()
    const next = await start({ instancesTopic: '' })
    expect(await next.verbs.instances.settingsOf(instance)).to.deep.equal({ type: 'unknownInstance' })
  })
})
