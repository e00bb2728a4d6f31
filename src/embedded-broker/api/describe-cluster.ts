import { errors } from '../protocol/error-codes.js'
import { advertisedHost, defineApi, NO_AUTHORIZED_OPERATIONS } from './api.js'

const BROKERS = 1

export const describeCluster = defineApi<{ readonly endpointType: number }>({
  key: 60,
  name: 'DescribeCluster',
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 0,
  read(reader, version) {
    reader.boolean()
    return { endpointType: version >= 1 ? reader.int8() : BROKERS }
  },
  answer({ endpointType }, call) {
    const { cluster, response, faults, version } = call
    const refusal = endpointType === BROKERS ? errors.none : errors.unsupportedEndpointType
    const errorCode = faults.before() || refusal
    response
      .int32(0)
      .int16(errorCode || faults.after())
      .nullableString(null)
    if (version >= 1) response.int8(endpointType)
    response.string(cluster.clusterId).int32(cluster.controllerId)
    response.structs(errorCode ? [] : cluster.liveNodes, node =>
      response.int32(node.nodeId).string(advertisedHost(call, node)).int32(node.port).nullableString(node.rack)
    )
    response.int32(NO_AUTHORIZED_OPERATIONS)
  }
})
