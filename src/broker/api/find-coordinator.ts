import { errors } from '../protocol/error-codes.js'
import { defineApi } from './api.js'

export const findCoordinator = defineApi<{ readonly key: string; readonly keyType: number }>({
  key: 10,
  name: 'FindCoordinator',
  minVersion: 0,
  maxVersion: 2,
  read: (reader, version) => ({ key: reader.string(), keyType: version >= 1 ? reader.int8() : 0 }),
  answer({ key, keyType }, { cluster, faults, response, version }) {
    const injected = faults.before() || faults.after()
    const node = injected ? undefined : cluster.coordinatorOf(key)
    const isKnownType = keyType === 0 || keyType === 1
    const code =
      injected || (isKnownType ? (node ? errors.none : errors.coordinatorNotAvailable) : errors.invalidRequest)
    if (version >= 1) response.int32(0)
    response.int16(code)
    if (version >= 1) response.nullableString(code ? 'the coordinator is not available' : null)
    response
      .int32(code ? -1 : node!.nodeId)
      .string(code ? '' : node!.host)
      .int32(code ? -1 : node!.port)
  }
})
