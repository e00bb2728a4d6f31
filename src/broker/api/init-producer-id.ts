import { errors } from '../protocol/error-codes.js'
import { type Call, defineApi } from './api.js'
import { coordinatorError } from './responsibility.js'

interface InitProducerIdRequest {
  /** `null`: idempotent only. */
  readonly transactionalId: string | null
  readonly timeoutMs: number
}

export const initProducerId = defineApi<InitProducerIdRequest>({
  key: 22,
  name: 'InitProducerId',
  minVersion: 0,
  maxVersion: 1,
  read: reader => ({ transactionalId: reader.nullableString(), timeoutMs: reader.int32() }),
  answer(request, call) {
    const given = give(request, call)
    const isRefused = typeof given === 'number'
    const { response, faults } = call
    response.int32(0).int16(isRefused ? given : faults.after())
    response.int64(isRefused ? -1 : given.producerId).int16(isRefused ? -1 : given.producerEpoch)
  }
})

/** An id and its epoch, or an error code. */
function give({ transactionalId, timeoutMs }: InitProducerIdRequest, call: Call) {
  const { cluster, faults, nodeId } = call
  const injected = faults.before()
  if (injected) return injected
  if (!cluster.producerIds.isReady(nodeId)) return errors.coordinatorLoadInProgress
  if (transactionalId === null) return { producerId: cluster.producerIds.take(), producerEpoch: 0 }
  if (transactionalId === '') return errors.invalidRequest
  return coordinatorError(call, transactionalId) || cluster.transactions.begin(transactionalId, timeoutMs)
}
