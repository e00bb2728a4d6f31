import { errors } from '../protocol/error-codes.js'
import { defineApi } from './api.js'

export const initProducerId = defineApi<{ readonly transactionalId: string | null }>({
  key: 22,
  name: 'InitProducerId',
  minVersion: 0,
  maxVersion: 1,
  read(reader) {
    const transactionalId = reader.nullableString()
    reader.int32()
    return { transactionalId }
  },
  answer(_request, { cluster, faults, nodeId, response }) {
    const notReady = cluster.producerIds.isReady(nodeId) ? errors.none : errors.coordinatorLoadInProgress
    const refused = faults.before() || notReady
    const producerId = refused ? -1 : cluster.producerIds.take()
    response
      .int32(0)
      .int16(refused || faults.after())
      .int64(producerId)
      .int16(refused ? -1 : 0)
  }
})
