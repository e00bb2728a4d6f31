import { expect } from 'chai'
import { type DispatcherPlanOptions, planDispatcher } from '../../../src/router/dispatcher/dispatcher-plan.js'
import type { QueueProcessor } from '../../../src/router/processors/queue-processor.js'
import type { Role } from '../../../src/router/requests/operation.js'
import { ProcessorStage } from '../processors/stage.js'

describe('connections to one broker by role', () => {
  const stage = new ProcessorStage()
  const plan = (role: Role, more: Partial<DispatcherPlanOptions> = {}) => {
    const options = {
      openRequests: stage.openRequests,
      metrics: stage.metrics,
      tags: stage.tags,
      readCache: { isolationLevel: 'readUncommitted' },
      callTimeoutMs: 1_000,
      fetch: {},
      group: { maxGroupConnections: 4, slowGroupCallMs: 200 },
      produce: { requestMaxBytes: 100 },
      admitCreations: () => [],
      waitsForCreation: () => false,
      reports: { metadata: () => {} },
      ...more
    } as unknown as DispatcherPlanOptions
    return planDispatcher(role, options).connections
  }
  const namesOf = (processors: readonly QueueProcessor[]): string[] => processors.map(({ name }) => name)
  const told = (role: Role, more?: Partial<DispatcherPlanOptions>) =>
    plan(role, more).map(({ purpose, processors }) => `${purpose}: ${namesOf(processors)}`)

  it('control, admin and member have one, which their operations share in turn', () => {
    const [control, ...others] = plan('control')
    expect([control!.purpose, others]).to.deep.equal(['control', []])
    expect(namesOf(control!.processors)).to.include.members(['fetchOffset', 'fetchTopicMetadata', 'leaveGroup'])
    const [admin, ...more] = plan('admin')
    expect([admin!.purpose, more]).to.deep.equal(['admin', []])
    expect(namesOf(admin!.processors)).to.include.members(['describeCluster', 'createTopic', 'listGroups'])
    const [ofMember, ...rest] = plan('member')
    expect([ofMember!.purpose, rest]).to.deep.equal(['member', []])
    expect(namesOf(ofMember!.processors)).to.include.members(['joinGroup', 'heartbeat', 'endTxn', 'txnOffsetCommit'])
  })

  it('a share session has one, for what it fetches and acknowledges', () => {
    expect(told('session')).to.deep.equal(['session: shareFetch,shareAcknowledge'])
  })

  it('fetch has one for records that exist and one for long polls', () => {
    expect(told('fetch')).to.deep.equal(['fetch-catch-up: catchUp', 'fetch-tail: tail'])
  })

  it('group has as many as the setting says, and never fewer than two', () => {
    const operations = 'fetchConsumerOffset,commitConsumerOffset'
    const one = [`group: ${operations}`, `group-2: ${operations}`]
    const group = (maxGroupConnections: number) => told('group', { group: { maxGroupConnections, slowGroupCallMs: 1 } })
    expect([group(1), group(2)]).to.deep.equal([one, one])
    expect(group(3)).to.deep.equal([...one, `group-3: ${operations}`])
  })

  it('produce has one or several for all, one for new topics, and one for what holds up others', () => {
    const apart = ['produce-new-topics: produceNewTopics', 'produce-slow: produceSlow']
    const produce = { requestMaxBytes: 100, brokerTimeoutMs: 1, callMarginMs: 1 }
    expect(told('produce')).to.deep.equal(['produce: produce', ...apart])
    expect(told('produce', { produce: { ...produce, connections: 2 } })).to.deep.equal([
      'produce: produce',
      'produce: produce',
      ...apart
    ])
  })
})
