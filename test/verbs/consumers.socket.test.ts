import { expect } from 'chai'
import { CastellanError } from '../../src/core/errors.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { GroupInstance } from '../support/group-instance.js'

describe('who reads on behalf of consumer groups, while brokers fail', () => {
  let cluster: EmbeddedCluster
  let instance: GroupInstance
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 3 })
    cluster.createTopic('orders', { partitions: 1, replicationFactor: 3 })
    instance = await GroupInstance.start(cluster.bootstrap, { start: 'earliest' })
    await instance.produce('orders', 0, ['m0', 'm1', 'm2'])
    for (const group of ['a', 'b', 'c']) await instance.take(group, 'orders', 1)
  })
  afterEach(async () => {
    await instance.stop()
    await cluster.close()
  })

  const groups = async (timeoutMs = 20_000): Promise<string[]> => [
    ...(await instance.castellan.verbs.groups.consumers('all', timeoutMs)).keys()
  ]
  const codeOf = async (asked: Promise<unknown>): Promise<string | undefined> => {
    const error = await asked.then(
      () => undefined,
      (thrown: unknown) => thrown
    )
    expect(error).to.be.instanceOf(CastellanError)
    return (error as CastellanError).code
  }

  it('every broker is asked, and one that is still loading its groups is asked again', async () => {
    const loading = { type: 'error', errorCode: errorCodes.COORDINATOR_LOAD_IN_PROGRESS } as const
    const listing = cluster.faults.add({ api: 'ListGroups', count: 3 }, loading)
    const describing = cluster.faults.add({ api: 'DescribeGroups', count: 2 }, loading)
    expect(await groups()).to.deep.equal(['a', 'b', 'c'])
    expect([listing.fired, describing.fired]).to.deep.equal([3, 2])
  })

  it('a coordinator that has moved is found again', async () => {
    const fault = cluster.faults.add(
      { api: 'DescribeGroups', count: 2 },
      { type: 'error', errorCode: errorCodes.NOT_COORDINATOR }
    )
    expect(await groups()).to.deep.equal(['a', 'b', 'c'])
    expect(fault.fired).to.equal(2)
  })

  it('a broker that has gone is not waited for', async () => {
    await cluster.stopNode(3)
    let found = await groups()
    while (found.length < 3) found = await groups()
    expect(found).to.deep.equal(['a', 'b', 'c'])
  })

  it('groups that we may not describe are left out of all groups, and refused by name', async () => {
    const forbidden = { type: 'error', errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED } as const
    cluster.faults.add({ api: 'DescribeGroups', count: Number.POSITIVE_INFINITY }, forbidden)
    expect(await groups()).to.deep.equal([])
    expect(await codeOf(instance.castellan.verbs.groups.consumers(['a'], 20_000))).to.equal('notAuthorized')
  })

  it('a broker that does not answer in time ends the wait', async () => {
    cluster.faults.add({ api: 'ListGroups', count: Number.POSITIVE_INFINITY }, { type: 'delay', delayMs: 600 })
    expect(await codeOf(groups(100))).to.equal('timedOut')
  })
})
