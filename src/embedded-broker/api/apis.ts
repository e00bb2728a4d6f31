import type { Api } from './api.js'
import { apiVersions } from './api-versions.js'
import { configs } from './configs.js'
import { describeCluster } from './describe-cluster.js'
import { electLeaders } from './elect-leaders.js'
import { fetch } from './fetch.js'
import { findCoordinator } from './find-coordinator.js'
import { groupAdmin } from './group-admin.js'
import { groupMembership } from './group-membership.js'
import { groupOffsets } from './group-offsets.js'
import { initProducerId } from './init-producer-id.js'
import { listOffsets } from './list-offsets.js'
import { metadata } from './metadata.js'
import { produce } from './produce.js'
import { recordsAdmin } from './records-admin.js'
import { sasl } from './sasl.js'
import { topicAdmin } from './topic-admin.js'
import { transactions } from './transactions.js'

/** Everything that is served, by key. */
const all: Api[] = [
  produce,
  fetch,
  listOffsets,
  metadata,
  findCoordinator,
  apiVersions(() => all),
  initProducerId,
  ...groupMembership,
  ...groupOffsets,
  ...groupAdmin,
  ...topicAdmin,
  ...recordsAdmin,
  ...configs,
  ...transactions,
  ...sasl,
  electLeaders,
  describeCluster
].sort((one, other) => one.key - other.key)

export const apis: readonly Api[] = all
const byKey = new Map(all.map(api => [api.key, api]))
export const apiOf = (key: number): Api | undefined => byKey.get(key)
