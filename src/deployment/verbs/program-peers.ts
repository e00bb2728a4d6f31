import type { JoinPeers } from '../../client/open-castellan.js'
import { performanceClock } from '../../core/clocks.js'
import { GatewayPeers } from '../gateways/gateway-peers.js'
import { sharedVerbs } from './shared-verbs.js'

/** Connects a program with the other processes that its options name. */
export const joinPeers: JoinPeers = async (own, cluster, settings, { log, metrics, records }) => {
  const peers = new GatewayPeers({ settings, tls: settings.tls, log, metrics, clock: performanceClock })
  const verbs = sharedVerbs(own, cluster, peers, records)
  await peers.open()
  return { verbs, close: () => peers.close() }
}
