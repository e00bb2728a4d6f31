import { expect } from 'chai'
import { KafkaError, UnavailableError } from '../../../src/core/errors.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import { Asked, CALL_TIMEOUT_MS, retried } from './asked.js'

const session = { nodeId: 1, groupId: 'billing', memberId: 's', epoch: 4, acknowledgements: [] }
const fetch = {
  ...session,
  maxWaitMs: 250,
  minBytes: 1,
  maxBytes: 1_000,
  maxRecords: 3,
  batchSize: 2,
  added: [{ topicId: 'id', partition: 0 }],
  forgotten: []
}
const acknowledge = { ...session, isRenew: true }
const lost = new UnavailableError('brokerUnreachable', 'closed the connection')

describe('shareHeartbeat', () => {
  const beat = { groupId: 'billing', memberId: 'm', memberEpoch: 0, topics: ['orders'] }
  let asked: Asked
  beforeEach(() => (asked = new Asked('shareHeartbeat')))

  it('tells the epoch, the pause and the assignment', async () => {
    asked.ask(beat)
    const told = { memberEpoch: 2, heartbeatIntervalMs: 5_000, assignment: new Map() }
    await asked.settle({ errorCode: 0, errorMessage: null, ...told })
    expect(asked.sent).to.deep.equal([{ api: 'shareGroupHeartbeat', call: { ...beat, timeoutMs: CALL_TIMEOUT_MS } }])
    expect(asked.told[0]).to.deep.equal([{ type: 'success', ...told }])
  })

  it('is asked again where the coordinator moves, and else fails with the words of Kafka', async () => {
    const request = asked.ask(beat)
    expect(await asked.settle({ errorCode: errorCodes.COORDINATOR_LOAD_IN_PROGRESS })).to.deep.equal(retried([request]))
    asked.ask(beat)
    await asked.settle({ errorCode: errorCodes.GROUP_ID_NOT_FOUND, errorMessage: 'is not a share group' })
    expect(asked.told.at(-1)![0]).to.include({ type: 'failed', errorCode: 69, message: 'is not a share group' })
  })

  it('of all groups goes over one connection', () => {
    const { connection } = descriptorOf('shareHeartbeat')
    expect(connection!(beat as never)).to.equal(connection!({ ...beat, groupId: 'audit', memberId: 'n' } as never))
  })
})

describe('calls of a share session', () => {
  for (const [kind, request] of [['shareFetch', fetch] as const, ['shareAcknowledge', acknowledge] as const]) {
    describe(kind, () => {
      let asked: Asked
      beforeEach(() => (asked = new Asked(kind)))

      it('tells the partitions and the time of locks', async () => {
        asked.ask(request)
        const told = { acquisitionLockMs: 30_000, partitions: [{ topicId: 'id', partition: 0 }] }
        expect(await asked.settle({ errorCode: 0, errorMessage: null, ...told })).to.deep.equal([])
        expect(asked.told[0]).to.deep.equal([{ type: 'success', ...told }])
      })

      it('fails with every code of Kafka, and is never asked again', async () => {
        for (const errorCode of [-1, 3, 6, 7, 16, 122, 123, 133]) {
          asked.ask(request)
          expect(await asked.settle({ errorCode, errorMessage: 'no' }), `${errorCode}`).to.deep.equal([])
          expect(asked.told.at(-1)![0]).to.include({ type: 'failed', errorCode, message: 'no' })
        }
      })

      it('has no answer when its bytes may have been written, and is given back when they were not', async () => {
        asked.ask(request)
        expect(asked.processor.callFailed(await asked.next(), lost, true)).to.deep.equal([])
        expect(asked.told[0]![0]).to.include({ type: 'timedOut' })
        const unsent = asked.ask(request)
        expect(asked.processor.callFailed(await asked.next(), lost, false)).to.deep.equal([unsent])
        const unknown = asked.ask(request)
        const unsupported = new KafkaError(errorCodes.UNSUPPORTED_VERSION, 'no such call', false)
        expect(asked.processor.callFailed(await asked.next(), unsupported, true)).to.deep.equal([unknown])
      })
    })
  }

  it('a fetch acquires no more than was asked for, and may take 10 s beyond its wait', async () => {
    const asked = new Asked('shareFetch')
    asked.ask(fetch)
    await asked.next()
    const { nodeId: _, ...call } = fetch
    expect(asked.sent).to.deep.equal([
      { api: 'shareFetch', call: { ...call, isExact: true, decompression: undefined, timeoutMs: 10_250 } }
    ])
  })

  it('an acknowledgement says whether it renews, and may take 10 s', async () => {
    const asked = new Asked('shareAcknowledge')
    asked.ask(acknowledge)
    await asked.next()
    const { nodeId: _, ...call } = acknowledge
    expect(asked.sent).to.deep.equal([{ api: 'shareAcknowledge', call: { ...call, timeoutMs: 10_000 } }])
  })

  it('are refused without the number of a broker', () => {
    const problemOf = (of: object) => descriptorOf('shareFetch').problemOf({ ...fetch, ...of } as never)
    expect(problemOf({})).to.equal(undefined)
    expect(problemOf({ nodeId: -1 })).to.include({ code: 'invalidRequest' })
    expect(problemOf({ groupId: 'g'.repeat(8_001) })).to.include({ code: 'invalidRequest' })
  })

  it('share a connection with no other session', () => {
    const connectionOf = (of: object): string => descriptorOf('shareFetch').connection!({ ...fetch, ...of } as never)
    expect(connectionOf({})).to.equal(descriptorOf('shareAcknowledge').connection!(acknowledge as never))
    expect(connectionOf({})).not.to.equal(connectionOf({ memberId: 't' }))
    expect(connectionOf({ groupId: 'a","b', memberId: 'c' })).not.to.equal(
      connectionOf({ groupId: 'a', memberId: 'b","c' })
    )
  })
})

describe('describeShareGroup', () => {
  it('tells state, coordinator and members, or that there is no such group', async () => {
    const asked = new Asked('describeShareGroup', { broker_id: '7' })
    const group = {
      errorCode: 0,
      errorMessage: null,
      groupId: 'billing',
      state: 'Stable',
      members: [{ memberId: 'm' }]
    }
    for (const more of [{}, { state: 'Dead' }, { errorCode: errorCodes.GROUP_ID_NOT_FOUND }]) {
      asked.ask({ groupId: 'billing' })
      await asked.settle({ groups: [{ ...group, ...more }] })
    }
    expect(asked.told.flat()).to.deep.equal([
      { type: 'success', state: 'Stable', coordinatorId: 7, members: group.members },
      { type: 'notFound' },
      { type: 'notFound' }
    ])
    const left = asked.ask({ groupId: 'billing' })
    expect(await asked.settle({ groups: [] })).to.deep.equal(retried([left]))
    asked.ask({ groupId: 'billing' })
    await asked.settle({ groups: [{ ...group, errorCode: errorCodes.UNSUPPORTED_VERSION }] })
    expect(asked.told.at(-1)![0], 'share groups are switched off').to.include({ type: 'failed', errorCode: 35 })
  })
})

describe('fetchShareOffsets', () => {
  it('tells where partitions begin, of one topic or of all', async () => {
    const asked = new Asked('fetchShareOffsets')
    const offsets = ['orders', 'payments'].map(topic => ({ topic, partition: 0, startOffset: 4, lag: 2 }))
    for (const topic of ['orders', null, 'gone']) {
      asked.ask({ groupId: 'billing', topic })
      await asked.settle({ errorCode: 0, errorMessage: null, offsets })
    }
    expect(asked.told.flat()).to.deep.equal([
      { type: 'success', offsets: [offsets[0]] },
      { type: 'success', offsets },
      { type: 'success', offsets: [] }
    ])
    expect(asked.sent[0]!.call).to.deep.equal({ groupId: 'billing', timeoutMs: CALL_TIMEOUT_MS })
  })
})
