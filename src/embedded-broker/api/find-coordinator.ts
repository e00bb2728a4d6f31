import { errors } from '../protocol/error-codes.js'
import { advertisedHost, type Call, defineApi } from './api.js'

/** First version with several keys per request. */
const MANY_KEYS_SINCE = 4
const GROUP = 0
const TRANSACTION = 1

interface FindCoordinatorRequest {
  /** One key before version 4. */
  readonly keys: readonly string[]
  readonly keyType: number
}

export const findCoordinator = defineApi<FindCoordinatorRequest>({
  key: 10,
  name: 'FindCoordinator',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 3,
  read(reader, version) {
    const first = version < MANY_KEYS_SINCE ? [reader.string()] : undefined
    const keyType = version >= 1 ? reader.int8() : GROUP
    return { keys: first ?? reader.array(() => reader.string()), keyType }
  },
  answer({ keys, keyType }, call) {
    const { response, version } = call
    if (version >= 1) response.int32(0)
    if (version < MANY_KEYS_SINCE) return writeOne(call, keys[0]!, keyType)
    response.structs(keys, key => writeOfMany(call, key, keyType))
  }
})

function writeOne(call: Call, key: string, keyType: number): void {
  const { response, version } = call
  const { errorCode, message, node } = find(call, key, keyType)
  response.int16(errorCode)
  if (version >= 1) response.nullableString(message)
  response.int32(node.nodeId).string(node.host).int32(node.port)
}

function writeOfMany(call: Call, key: string, keyType: number): void {
  const { errorCode, message, node } = find(call, key, keyType)
  call.response.string(key).int32(node.nodeId).string(node.host).int32(node.port)
  call.response.int16(errorCode).nullableString(message)
}

const NOBODY = { nodeId: -1, host: '', port: -1 }

function find(call: Call, key: string, keyType: number) {
  const { cluster, faults } = call
  const injected = faults.before() || faults.after()
  const node = injected ? undefined : cluster.coordinatorOf(key)
  const isKnownType = keyType === GROUP || keyType === TRANSACTION
  const unavailable = node ? errors.none : errors.coordinatorNotAvailable
  const errorCode = injected || (isKnownType ? unavailable : errors.invalidRequest)
  if (errorCode || !node) return { errorCode, message: 'the coordinator is not available', node: NOBODY }
  return { errorCode, message: null, node: { ...node, host: advertisedHost(call, node) } }
}
