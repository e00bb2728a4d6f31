import { errorCodes } from '../../kafka/error-codes.js'
import { defineApi, type ServedApi } from './api.js'

const describeAcls = defineApi({
  key: 29,
  name: 'DescribeAcls',
  minVersion: 1,
  maxVersion: 3,
  flexibleFrom: 2,
  read(reader) {
    reader.int8()
    reader.nullableString()
    reader.int8()
    reader.nullableString()
    reader.nullableString()
    reader.int8()
    reader.int8()
  },
  /** As Kafka answers that has no authorizer. */
  answer(_, { response, faults }) {
    const injected = faults.before() || faults.after()
    const message = injected ? null : 'No Authorizer is configured on the broker'
    response
      .int32(0)
      .int16(injected || errorCodes.SECURITY_DISABLED)
      .nullableString(message)
      .structs([], () => undefined)
  }
})

export const acls: readonly ServedApi[] = [describeAcls]
