import { expect } from 'chai'
import { UnavailableError } from '../../../src/core/errors.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { answerTimedOut, type OpenRequest } from '../../../src/router/requests/open-requests.js'
import { Asked, CALL_TIMEOUT_MS, retried } from './asked.js'

const LOST = new UnavailableError('brokerUnreachable', 'the connection was lost')
const at = (partition: number, more: object = {}) => ({ topic: 'orders', partition, errorCode: 0, ...more })
const requestFor = (partition: number, more: object = {}): object => ({
  groupId: 'billing',
  topicPartition: { topic: 'orders', partition },
  offsetAndMetadata: { offset: 40 + partition },
  ...more
})

describe('commitConsumerOffset', () => {
  let asked: Asked
  beforeEach(() => (asked = new Asked('commitConsumerOffset')))
  const sent = () => asked.sent.map(({ call }) => call)

  it('is one call for all partitions of a group, the group that waits longest first', async () => {
    asked.ask(requestFor(0))
    asked.ask(requestFor(0, { groupId: 'audit' }))
    asked.ask(requestFor(1))
    while (await asked.next());
    const call = { generationId: -1, memberId: '', timeoutMs: CALL_TIMEOUT_MS }
    const partition = (id: number): object => ({ topic: 'orders', partition: id, offset: 40 + id, metadata: '' })
    expect(sent()).to.deep.equal([
      { groupId: 'billing', ...call, partitions: [partition(0), partition(1)] },
      { groupId: 'audit', ...call, partitions: [partition(0)] }
    ])
    expect(asked.processor.isEmpty).to.equal(true)
  })

  it('is a call of its own for each member, and for each generation of it', async () => {
    const members = [
      { memberId: 'm', generationId: 3, instanceId: null },
      { memberId: 'n', generationId: 3, instanceId: null },
      { memberId: 'm', generationId: 4, instanceId: null },
      undefined
    ]
    members.forEach((member, partition) => asked.ask(requestFor(partition, { member })))
    asked.ask(requestFor(9, { member: { ...members[0] } }))
    while (await asked.next());
    const calls = sent() as { memberId: string; generationId: number; partitions: { partition: number }[] }[]
    expect(
      calls.map(({ memberId, generationId, partitions }) => [memberId, generationId, partitions.length])
    ).to.deep.equal([
      ['m', 3, 2],
      ['n', 3, 1],
      ['m', 4, 1],
      ['', -1, 1]
    ])
    expect(calls[0]!.partitions.map(({ partition }) => partition)).to.deep.equal([0, 9])
  })

  it('is on its way until its call ends, whatever the answer', async () => {
    const commit = asked.ask(requestFor(0)) as OpenRequest<'commitConsumerOffset'>
    for (const end of [
      (call: unknown) => asked.processor.processResponse(call, { throttleTimeMs: 0, partitions: [] }),
      (call: unknown) => asked.processor.callFailed(call, new Error('cut'), true)
    ]) {
      const call = await asked.next()
      expect([commit.state.inFlight, commit.state.wasSent]).to.deep.equal([true, true])
      end(call)
      expect(commit.state.inFlight).to.equal(false)
      asked.processor.addToQueue(commit)
    }
  })

  it('is told of an attempt that was sent and got no answer, and of no other', async () => {
    const told: string[] = []
    const waits = asked.ask(requestFor(0, { onUnanswered: () => told.push('unanswered') }))
    expect(asked.processor.callFailed(await asked.next(), LOST, false)).to.deep.equal([waits])
    expect(told).to.deep.equal([])
    const again = asked.ask(requestFor(0, { onUnanswered: () => told.push('again') }))
    expect(asked.processor.callFailed(await asked.next(), LOST, true)).to.deep.equal([again])
    expect(told).to.deep.equal(['again'])
    const answered = asked.ask(requestFor(0, { onUnanswered: () => told.push('late') }))
    asked.ask(requestFor(1, { onUnanswered: () => expect.fail('a bug of the caller') }))
    const call = await asked.next()
    answerTimedOut(answered)
    expect(asked.processor.callFailed(call, LOST, true)).to.have.length(1)
    expect(told, 'it may arrive though its time is over').to.deep.equal(['again', 'late'])
  })

  it('is not sent when it was answered while it waited, nor given back', async () => {
    asked.ask(requestFor(0)).settled = true
    expect(await asked.next()).to.equal(undefined)
    asked.ask(requestFor(1)).settled = true
    const open = asked.ask(requestFor(1))
    asked.ask(requestFor(2)).settled = true
    expect(asked.processor.drain()).to.deep.equal([open])
    const commit = asked.ask(requestFor(0))
    const call = await asked.next()
    commit.settled = true
    expect(asked.processor.callFailed(call, new Error('cut'), true)).to.deep.equal([])
  })

  it('is asked again where the answer leaves it out, and told once where it comes twice', async () => {
    const commits = [0, 1].map(partition => asked.ask(requestFor(partition)))
    const back = await asked.settle({ partitions: [at(0), at(0, { errorCode: 3 }), at(7)] })
    expect(back).to.deep.equal(retried([commits[1]!]))
    expect(asked.told.map(told => told.map(({ type }) => type))).to.deep.equal([['success'], []])
  })

  it('goes to another coordinator with everything else of its group, and nothing of others', async () => {
    const first = asked.ask(requestFor(0))
    const call = await asked.next()
    const waits = asked.ask(requestFor(1))
    asked.ask(requestFor(0, { groupId: 'audit' }))
    const partitions = [at(0, { errorCode: errorCodes.NOT_COORDINATOR })]
    expect(asked.processor.processResponse(call, { partitions })).to.deep.equal([
      { reason: 'notCoordinator', requests: [first, waits] }
    ])
    expect(asked.processor.drain()).to.have.length(1)
  })

  it('castle 16 is answered and counted for code 3, and told once to whoever keeps the tables', async () => {
    asked.ask(requestFor(0))
    const back = await asked.settle({ partitions: [at(0, { errorCode: 3 })] })
    expect(asked.told[0]!.map(({ type }) => type)).to.deep.equal(['unknownTopicOrPartition'])
    expect(back).to.deep.equal([{ reason: 'unknownTopicOrPartition', requests: [], topic: 'orders', partition: 0 }])
    expect(asked.metrics.of('unknown_topic_or_partition_responses')).to.equal(1)
  })

  it('is no success with codes 2 and 9: the coordinator has not stored the offset', async () => {
    for (const errorCode of [2, 9]) {
      const commit = asked.ask(requestFor(0))
      expect(await asked.settle({ partitions: [at(0, { errorCode })] })).to.deep.equal(retried([commit]))
      expect(asked.told.at(-1)).to.deep.equal([])
    }
  })

  it('has exactly one fate for every code there is', async () => {
    for (let errorCode = -2; errorCode <= 255; errorCode++) {
      asked.ask(requestFor(0))
      const back = await asked.settle({ partitions: [at(0, { errorCode })] })
      const fates = asked.told.at(-1)!.length + back.flatMap(({ requests }) => requests).length
      expect(fates, `code ${errorCode}`).to.equal(1)
    }
  })
})

describe('fetchConsumerOffset', () => {
  let asked: Asked
  beforeEach(() => (asked = new Asked('fetchConsumerOffset')))
  const answer = (partition: number, more: object = {}) => at(partition, { offset: 7, metadata: null, ...more })
  const types = () => asked.told.map(told => told.map(({ type }) => type))

  it('is one call for all partitions of a group, each once, however many ask', async () => {
    for (const partition of [0, 1, 0]) asked.ask(requestFor(partition))
    asked.ask(requestFor(0, { groupId: 'audit' }))
    expect(await asked.settle({ errorCode: 0, partitions: [answer(1), answer(0)] })).to.deep.equal([])
    expect(asked.sent[0]!.call).to.deep.equal({
      groupId: 'billing',
      partitions: [
        { topic: 'orders', partition: 0 },
        { topic: 'orders', partition: 1 }
      ],
      requireStable: false,
      timeoutMs: CALL_TIMEOUT_MS
    })
    expect(types()).to.deep.equal([['success'], ['success'], ['success'], []])
    expect(asked.processor.isEmpty).to.equal(false)
  })

  it('is a call of its own for those who require a stable offset, which is asked again at code 88', async () => {
    const stable = [0, 1].map(partition => asked.ask(requestFor(partition, { requireStable: true })))
    asked.ask(requestFor(0))
    const back = await asked.settle({
      errorCode: 0,
      partitions: [answer(0, { errorCode: 88, offset: -1 }), answer(1)]
    })
    expect(back).to.deep.equal(retried([stable[0]!]))
    expect(await asked.settle({ errorCode: 0, partitions: [answer(0)] })).to.deep.equal([])
    expect(asked.sent.map(({ call }) => call)).to.containSubset([
      { requireStable: true, partitions: [{ partition: 0 }, { partition: 1 }] },
      { requireStable: false, partitions: [{ partition: 0 }] }
    ])
    expect(types()).to.deep.equal([[], ['success'], ['success']])
  })

  it('is asked again where the answer leaves a partition out, and answered once where it comes twice', async () => {
    const [, left] = [0, 1].map(partition => asked.ask(requestFor(partition)))
    const partitions = [answer(0), answer(0, { offset: 9 }), answer(7)]
    expect(await asked.settle({ errorCode: 0, partitions })).to.deep.equal(retried([left!]))
    expect(asked.told[0]!.map(({ offsetAndMetadata }) => offsetAndMetadata)).to.deep.equal([{ offset: 7 }])
  })

  it('takes an error of the whole answer for one of every partition', async () => {
    const failures: readonly (readonly [number, string, string[]])[] = [
      [errorCodes.COORDINATOR_LOAD_IN_PROGRESS, 'retryLater', []],
      [errorCodes.GROUP_AUTHORIZATION_FAILED, '', ['failed']]
    ]
    for (const [errorCode, reason, told] of failures) {
      asked = new Asked('fetchConsumerOffset')
      for (const partition of [0, 1]) asked.ask(requestFor(partition))
      const back = await asked.settle({ errorCode, partitions: [answer(0)] })
      expect(back.map(one => [one.reason, one.requests.length])).to.deep.equal(
        reason === ''
          ? []
          : [
              [reason, 1],
              [reason, 1]
            ]
      )
      expect(types()).to.deep.equal([told, told])
    }
  })

  it('goes to another coordinator with everything else of its group, and nothing of others', async () => {
    const first = asked.ask(requestFor(0))
    const call = await asked.next()
    const waits = asked.ask(requestFor(1))
    asked.ask(requestFor(0, { groupId: 'audit' }))
    const back = asked.processor.processResponse(call, { errorCode: errorCodes.NOT_COORDINATOR, partitions: [] })
    expect(back).to.deep.equal([{ reason: 'notCoordinator', requests: [first, waits] }])
    expect(asked.processor.drain()).to.have.length(1)
  })

  it('finds nothing where no offset is stored, or the topic is unknown, which is counted', async () => {
    for (const partition of [0, 1]) asked.ask(requestFor(partition))
    await asked.settle({ errorCode: 0, partitions: [answer(0, { offset: -1 }), answer(1, { errorCode: 3 })] })
    expect(types()).to.deep.equal([['notFound'], ['notFound']])
    expect(asked.metrics.of('unknown_topic_or_partition_responses')).to.equal(1)
  })

  it('gives an offset below 0 to who can do something with it only', async () => {
    asked.ask(requestFor(0))
    asked.ask(requestFor(0, { negativeOffset: true }))
    await asked.settle({ errorCode: 0, partitions: [answer(0, { offset: -5 })] })
    expect(types()).to.deep.equal([['failed'], ['success']])
    expect(asked.told[1]![0]!.offsetAndMetadata).to.deep.equal({ offset: -5 })
    asked.ask(requestFor(1, { negativeOffset: true }))
    await asked.settle({ errorCode: 0, partitions: [answer(1, { offset: undefined })] })
    expect(asked.told[2]![0]).to.include({ type: 'failed', code: 'protocol' })
  })

  it('takes an offset that comes with the code of damage for what is stored, offset 0 as well', async () => {
    for (const offset of [0, 7]) {
      asked.ask(requestFor(0))
      await asked.settle({ errorCode: 0, partitions: [answer(0, { errorCode: errorCodes.CORRUPT_MESSAGE, offset })] })
      expect(asked.told.at(-1)![0]).to.deep.include({ type: 'success', offsetAndMetadata: { offset } })
    }
    asked.ask(requestFor(0))
    const refused = answer(0, { errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED })
    await asked.settle({ errorCode: 0, partitions: [refused] })
    expect(asked.told.at(-1)![0], 'but with no other').to.include({ type: 'failed', errorCode: 30 })
  })

  it('is not asked when it was answered while it waited, nor given back', async () => {
    asked.ask(requestFor(0)).settled = true
    expect(await asked.next()).to.equal(undefined)
    asked.ask(requestFor(1)).settled = true
    const open = asked.ask(requestFor(1))
    expect(asked.processor.drain()).to.deep.equal([open])
    const late = asked.ask(requestFor(0))
    const call = await asked.next()
    expect(asked.processor.callFailed(call, new Error('cut'), true)).to.deep.equal([late])
    late.settled = true
    expect(asked.processor.callFailed(call, new Error('cut'), true)).to.deep.equal([])
  })
})
