import { errorCodes } from '../../kafka/error-codes.js'
import { ProtocolWriter } from '../../kafka/protocol/encoding.js'
import { acls } from './acls.js'
import { defineApi, type ServedApi } from './api.js'
import { clusterMetadata } from './cluster-metadata.js'
import { configs } from './configs.js'
import { fetch } from './fetch.js'
import { groupOffsets } from './group-offsets.js'
import { groupApis } from './groups.js'
import { logOffsets } from './log-offsets.js'
import { produce } from './produce.js'
import { sasl } from './sasl.js'
import { shareGroupApis } from './share-groups.js'
import { shareSessionApis } from './share-sessions.js'
import { topicAdmin } from './topic-admin.js'
import { transactions } from './transactions.js'

export const API_VERSIONS_KEY = 18

export function writeApiVersions(
  response: ProtocolWriter,
  apis: readonly ServedApi[],
  errorCode: number,
  version: number
): void {
  response.int16(errorCode)
  response.structs(apis, api => response.int16(api.key).int16(api.minVersion).int16(api.maxVersion))
  if (version >= 1) response.int32(0)
}

/** The tagged fields of ApiVersions: features that are supported, the epoch of the decision, features that are in use. */
function featureFields(): ReadonlyMap<number, Buffer> {
  const fieldOf = (write: (field: ProtocolWriter) => void): Buffer => {
    const field = new ProtocolWriter().becomeFlexible()
    write(field)
    return Buffer.concat(field.finish())
  }
  const shareVersion = fieldOf(field => field.structs(['share.version'], name => field.string(name).int16(1).int16(1)))
  return new Map([
    [0, shareVersion],
    [1, fieldOf(field => field.int64(0))],
    [2, shareVersion]
  ])
}

const apiVersions = defineApi({
  key: API_VERSIONS_KEY,
  name: 'ApiVersions',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  tagged: featureFields(),
  read(reader, version) {
    if (version < 3) return
    reader.string()
    reader.string()
  },
  answer(_request, { response, faults, version }) {
    writeApiVersions(response, servedApis, faults.before() || faults.after() || errorCodes.NONE, version)
  }
})

export const servedApis: readonly ServedApi[] = [
  apiVersions,
  produce,
  fetch,
  ...clusterMetadata,
  ...logOffsets,
  ...groupApis,
  ...groupOffsets,
  ...topicAdmin,
  ...configs,
  ...acls,
  ...transactions,
  ...shareGroupApis,
  ...shareSessionApis,
  ...sasl
].sort((one, other) => one.key - other.key)

const byKey = new Map(servedApis.map(api => [api.key, api]))
export const apiOf = (key: number): ServedApi | undefined => byKey.get(key)
