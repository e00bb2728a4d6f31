import { errors } from '../protocol/error-codes.js'
import type { ProducerIdentity } from '../transactions/transaction-coordinator.js'
import { type Call, defineApi } from './api.js'
import { coordinatorError } from './responsibility.js'

/** First version in which a fenced producer is answered 90; before, 47 has that meaning. */
const FENCED_SINCE = 4

interface InitProducerIdRequest {
  /** `null`: an idempotent producer without transactions. */
  readonly transactionalId: string | null
  readonly timeoutMs: number
  /** The producer's current id and epoch; undefined: it has none, or does not send them. */
  readonly current: ProducerIdentity | undefined
}

export const initProducerId = defineApi<InitProducerIdRequest>({
  key: 22,
  name: 'InitProducerId',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 2,
  read(reader, version) {
    const transactionalId = reader.nullableString()
    const timeoutMs = reader.int32()
    const told = version >= 3 ? { producerId: reader.int64(), producerEpoch: reader.int16() } : undefined
    return { transactionalId, timeoutMs, current: told && told.producerId >= 0 ? told : undefined }
  },
  answer(request, call) {
    const given = giveOrRefuse(request, call)
    const isRefused = typeof given === 'number'
    const { response, faults } = call
    response.int32(0).int16(isRefused ? given : faults.after())
    response.int64(isRefused ? -1 : given.producerId).int16(isRefused ? -1 : given.producerEpoch)
  }
})

/** While its storage fails, a coordinator answers that it is not available. */
function giveOrRefuse(request: InitProducerIdRequest, call: Call) {
  try {
    return give(request, call)
  } catch {
    return errors.coordinatorNotAvailable
  }
}

/** An id and its epoch, or an error code. */
function give({ transactionalId, timeoutMs, current }: InitProducerIdRequest, call: Call) {
  const { cluster, faults, nodeId, version } = call
  const injected = faults.before()
  if (injected) return injected
  if (!cluster.producerIds.isReady(nodeId)) return errors.coordinatorLoadInProgress
  if (transactionalId === null) return { producerId: cluster.producerIds.take(), producerEpoch: 0 }
  if (transactionalId === '') return errors.invalidRequest
  const refusal = coordinatorError(call, transactionalId)
  if (refusal) return refusal
  const given = cluster.transactions.begin(transactionalId, timeoutMs, current)
  return given === errors.producerFenced && version < FENCED_SINCE ? errors.invalidProducerEpoch : given
}
