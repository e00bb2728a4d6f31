import type { CallOptions } from './calls.js'
import type { Api } from './protocol/api.js'
import { createTopicsV3 } from './protocol/create-topics.js'
import { deleteTopicsV1 } from './protocol/delete-topics.js'
import { describeBrokerConfigsV2, describeConfigsV2 } from './protocol/describe-configs.js'
import { describeGroupsV4 } from './protocol/describe-groups.js'
import { fetchV13 } from './protocol/fetch.js'
import { findCoordinatorV2 } from './protocol/find-coordinator.js'
import { heartbeatV3 } from './protocol/heartbeat.js'
import { initProducerIdV1 } from './protocol/init-producer-id.js'
import { joinGroupV5 } from './protocol/join-group.js'
import { leaveGroupV3 } from './protocol/leave-group.js'
import { listGroupsV4 } from './protocol/list-groups.js'
import { listOffsetsV4 } from './protocol/list-offsets.js'
import { metadataV12 } from './protocol/metadata.js'
import { offsetCommitV7 } from './protocol/offset-commit.js'
import { offsetFetchV5 } from './protocol/offset-fetch.js'
import { offsetForLeaderEpochV3 } from './protocol/offset-for-leader-epoch.js'
import { produceV7 } from './protocol/produce.js'
import { syncGroupV3 } from './protocol/sync-group.js'

/** Every call that a broker can be asked, in its newest version. To add one: its codec in protocol/, and a line here. */
export const apis = {
  metadata: metadataV12,
  produce: produceV7,
  fetch: fetchV13,
  listOffsets: listOffsetsV4,
  offsetForLeaderEpoch: offsetForLeaderEpochV3,
  findCoordinator: findCoordinatorV2,
  offsetCommit: offsetCommitV7,
  offsetFetch: offsetFetchV5,
  joinGroup: joinGroupV5,
  syncGroup: syncGroupV3,
  heartbeat: heartbeatV3,
  leaveGroup: leaveGroupV3,
  describeGroups: describeGroupsV4,
  listGroups: listGroupsV4,
  initProducerId: initProducerIdV1,
  describeTopicConfigs: describeConfigsV2,
  describeBrokerConfigs: describeBrokerConfigsV2,
  createTopics: createTopicsV3,
  deleteTopics: deleteTopicsV1
} as const

export type CallName = keyof typeof apis

/** One method per call. */
export type ApiCalls = {
  readonly [Name in CallName]: (typeof apis)[Name] extends Api<infer Call, infer Response>
    ? (call: Call) => Promise<Response>
    : never
}

/** One method per call, each of which calls `exchange`. */
export function apiCalls(
  exchange: <Call extends CallOptions, Response extends { readonly throttleTimeMs: number }>(
    api: Api<Call, Response>,
    call: Call
  ) => Promise<Response>
): ApiCalls {
  const methods = Object.entries(apis).map(([name, api]) => [name, (call: never) => exchange(api as never, call)])
  return Object.fromEntries(methods) as ApiCalls
}
