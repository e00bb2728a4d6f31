import { expect } from 'chai'
import { calledApis } from '../../src/kafka/broker-client.js'
import { apiCalls } from '../../src/kafka/broker-client-factory.js'
import { type Api, apiVersionsV0, apiVersionsV1 } from '../../src/kafka/protocol/api.js'

type AnyApi = Api<never, { readonly throttleTimeMs: number }>

/** A call in all its versions, the newest first. */
const versionsOf = (api: AnyApi): AnyApi[] => [api, ...(api.older ? versionsOf(api.older) : [])]

const lineOf = (api: AnyApi): string =>
  `${api.key} ${api.name} ${versionsOf(api)
    .map(({ version, isFlexible }) => `${version}${isFlexible ? ' flexible' : ''}`)
    .join(', ')}`

describe('the calls of a broker', () => {
  it('have the numbers, names and versions of the protocol', () => {
    expect(Object.values(calledApis).map(api => lineOf(api as AnyApi))).to.deep.equal([
      '3 Metadata 12 flexible, 10 flexible, 7',
      '0 Produce 8, 7',
      '1 Fetch 13 flexible, 11',
      '2 ListOffsets 4, 3',
      '23 OffsetForLeaderEpoch 3',
      '10 FindCoordinator 2',
      '8 OffsetCommit 7, 5',
      '9 OffsetFetch 7 flexible, 5, 4',
      '11 JoinGroup 5',
      '14 SyncGroup 3',
      '12 Heartbeat 3',
      '13 LeaveGroup 3',
      '15 DescribeGroups 4, 3',
      '69 ConsumerGroupDescribe 1 flexible, 0 flexible',
      '16 ListGroups 4 flexible, 2',
      '76 ShareGroupHeartbeat 1 flexible',
      '77 ShareGroupDescribe 1 flexible',
      '78 ShareFetch 2 flexible, 1 flexible',
      '79 ShareAcknowledge 2 flexible, 1 flexible',
      '90 DescribeShareGroupOffsets 1 flexible, 0 flexible',
      '91 AlterShareGroupOffsets 0 flexible',
      '92 DeleteShareGroupOffsets 0 flexible',
      '22 InitProducerId 1',
      '22 InitProducerId 4 flexible',
      '24 AddPartitionsToTxn 3 flexible',
      '25 AddOffsetsToTxn 3 flexible',
      '26 EndTxn 3 flexible',
      '28 TxnOffsetCommit 3 flexible',
      '32 DescribeConfigs 2',
      '44 IncrementalAlterConfigs 0',
      '29 DescribeAcls 1',
      '19 CreateTopics 4, 3',
      '20 DeleteTopics 6 flexible, 5 flexible, 1',
      '37 CreatePartitions 1',
      '21 DeleteRecords 1',
      '42 DeleteGroups 1'
    ])
    expect([apiVersionsV1, apiVersionsV0].map(api => lineOf(api as AnyApi))).to.deep.equal([
      '18 ApiVersions 1',
      '18 ApiVersions 0'
    ])
    for (const api of Object.values(calledApis) as AnyApi[]) {
      for (const { key, name } of versionsOf(api)) expect({ key, name }).to.deep.equal({ key: api.key, name: api.name })
    }
  })

  it('are a method each, which hands over its call and answers what comes back', async () => {
    const exchanged: [name: string, call: unknown][] = []
    const calls = apiCalls(async (api, call) => {
      exchanged.push([api.name, call])
      return { throttleTimeMs: exchanged.length } as never
    })
    const call = { states: ['Stable'] }
    expect(await calls.listGroups(call)).to.deep.equal({ throttleTimeMs: 1 })
    expect(exchanged).to.deep.equal([['ListGroups', call]])
    expect(Object.keys(calls)).to.deep.equal(Object.keys(calledApis))
  })
})
