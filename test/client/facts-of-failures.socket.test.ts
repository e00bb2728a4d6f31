import { expect } from 'chai'
import { type Castellan, KafkaError, ProduceError, type Transaction, TransactionError } from '../../src/client.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { onBroker } from '../support/stage.js'

const failureOf = (asked: Promise<unknown>): Promise<TransactionError> =>
  asked.then(
    () => expect.fail('nothing was thrown'),
    (error: unknown) => (error instanceof TransactionError ? error : Promise.reject(error))
  )

describe('a transaction that fails', () => {
  const stage = onBroker(undefined, true)
  let castellan: Castellan
  beforeEach(async () => {
    stage.cluster.createTopic('orders', { partitions: 2 })
    stage.cluster.createTopic('small', { config: { 'max.message.bytes': 2_000 } })
    castellan = await stage.library({ delivery: { createTopics: false } })
  })

  const TOO_LARGE = { topic: 'orders', value: 'x'.repeat(2_000_000) }
  const TOO_LARGE_FOR_TOPIC = { topic: 'small', value: 'x'.repeat(5_000) }
  const GOOD = { topic: 'orders', partition: 0, value: 'good' }

  for (const [what, record, code] of [
    ['that is too large', TOO_LARGE, 'recordTooLarge'],
    ['that is too large for its topic', TOO_LARGE_FOR_TOPIC, 'recordTooLarge'],
    ['of a partition that there is not', { ...GOOD, partition: 99 }, 'unknownPartition'],
    ['of a topic that there cannot be', { ...GOOD, topic: 'a b' }, 'invalidTopic']
  ] as const)
    it(`is not retriable with a record ${what}, and has the error of the record as its cause`, async () => {
      const error = await failureOf(
        castellan.transaction('etl', async tx => {
          void tx.produce(GOOD)
          void tx.produce([GOOD, record])
        })
      )
      expect(error).to.include({ code: 'aborted', committed: 'no', retriable: false })
      expect(error.cause).to.be.instanceOf(ProduceError).and.to.include({ code, retriable: false })
      expect(error.message).to.include(
        (error.cause as ProduceError).outcomes.find(one => one.type === 'failed')!.message
      )
    })

  it('is retriable with a record that may pass later', async () => {
    const error = await failureOf(
      castellan.transaction('etl', async tx => void tx.produce({ topic: 'none', value: 'x' }))
    )
    expect(error).to.include({ code: 'aborted', committed: 'no', retriable: true })
    expect(error.cause).to.be.instanceOf(ProduceError).and.to.include({ code: 'unknownTopic', retriable: true })
  })

  it('is told by the record that never passes, where another one of the same call may pass later', async () => {
    const error = await failureOf(
      castellan.transaction('etl', async tx => void tx.produce([{ topic: 'none', value: 'x' }, TOO_LARGE]))
    )
    expect(error).to.include({ code: 'aborted', retriable: false })
    expect(error.message).to.match(/more than/)
  })

  it('tells the facts of its reason with each of its records that is given up', async () => {
    const thrown = await castellan
      .transaction('etl', async tx => {
        void tx.produce(TOO_LARGE)
        await tx.produce(GOOD)
      })
      .catch((error: unknown) => error)
    expect(thrown).to.include({ name: 'ProduceError', code: 'recordTooLarge', retriable: false })
  })

  for (const [api, write] of [
    ['InitProducerId', (tx: Transaction) => tx.produce(GOOD)],
    ['AddPartitionsToTxn', (tx: Transaction) => tx.produce(GOOD)],
    ['EndTxn', (tx: Transaction) => tx.produce(GOOD)],
    ['AddOffsetsToTxn', (tx: Transaction) => tx.commitOffsets('g', [{ topic: 'orders', partition: 0, offset: 1 }])]
  ] as const)
    it(`is not retriable where ${api} is not allowed, and has the error of Kafka as its cause`, async () => {
      const errorCode = errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
      stage.cluster.faults.add({ api }, { type: 'error', errorCode })
      const error = await failureOf(castellan.transaction<unknown>('etl', write))
      expect(error).to.include({ code: 'aborted', committed: 'no', retriable: false })
      expect(error.cause).to.be.instanceOf(KafkaError).and.to.include({ code: 'kafka', errorCode, retriable: false })
    })

  it('is retriable where the coordinator has forgotten the id, since the next one begins anew', async () => {
    const errorCode = errorCodes.INVALID_PRODUCER_ID_MAPPING
    await castellan.transaction('etl', tx => tx.produce(GOOD))
    stage.cluster.faults.add({ api: 'AddPartitionsToTxn' }, { type: 'error', errorCode })
    const error = await failureOf(castellan.transaction('etl', tx => tx.produce(GOOD)))
    expect(error).to.include({ code: 'aborted', committed: 'no', retriable: true })
    expect(error.cause).to.include({ errorCode })
    await castellan.transaction('etl', tx => tx.produce(GOOD))
  })

  it('is not retriable with a mistake, which is its cause', async () => {
    const error = await failureOf(
      castellan.transaction('etl', async tx => void tx.produce({ ...GOOD, vlaue: 'x' } as never))
    )
    expect(error).to.include({ code: 'aborted', committed: 'no', retriable: false })
    expect(error.cause).to.include({ name: 'InvalidRequestError' })
  })

  it('is not retriable where the metadata of a position is too large', async () => {
    const large = { topic: 'orders', partition: 0, offset: 1, metadata: 'x'.repeat(5_000) }
    const error = await failureOf(castellan.transaction('etl', tx => tx.commitOffsets('billing', [large])))
    expect(error).to.include({ code: 'aborted', committed: 'no', retriable: false })
  })
})
