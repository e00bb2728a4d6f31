import { errors } from '../protocol/error-codes.js'
import type { ProtocolWriter } from '../protocol/writer.js'
import { type Api, defineApi } from './api.js'

export const API_VERSIONS_KEY = 18

/** The ranges of all APIs, as the body of version `version`. */
export function writeApiVersions(
  response: ProtocolWriter,
  apis: readonly Api[],
  errorCode: number,
  version: number
): void {
  response.int16(errorCode)
  response.structs(apis, api => response.int16(api.key).int16(api.minVersion).int16(api.maxVersion))
  if (version >= 1) response.int32(0)
}

export const apiVersions = (apis: () => readonly Api[]): Api =>
  defineApi({
    key: API_VERSIONS_KEY,
    name: 'ApiVersions',
    minVersion: 0,
    maxVersion: 4,
    flexibleFrom: 3,
    read(reader, version) {
      if (version < 3) return
      reader.string()
      reader.string()
    },
    answer(_request, { response, faults, version }) {
      writeApiVersions(response, apis(), faults.before() || faults.after() || errors.none, version)
    }
  })
