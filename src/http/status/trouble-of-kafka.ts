import type { Judged, Row } from './judged.js'
import type { ClusterRow } from './status.js'
import { leaderlessOf } from './trouble-of-topics.js'
import { durationText, firstOf } from './units.js'

/** Clusters that do not answer, and brokers that are down or gone. */
export const troubleOfKafka = (status: Judged): Row[] =>
  status.clusters.flatMap(cluster => troubleOfCluster(cluster, leaderlessOf(status, cluster.name)))

/** @param leaderless partitions without a leader whose records wait */
function troubleOfCluster(cluster: ClusterRow, leaderless: readonly string[]): Row[] {
  const { name, isReady, away } = cluster
  if (isReady) return troubleOfBrokers(cluster, leaderless)
  return [
    {
      severity: 'bad',
      kind: 'brokersAway',
      subject: `cluster ${name}`,
      cause: `No broker answers${away === undefined ? '' : `: ${away}`}.`,
      next: `Check that its brokers run, and that this machine reaches them at clusters.${name}.brokers. Castellan connects by itself as soon as one answers.`,
      see: `clusters.${name}.brokers`
    }
  ]
}

/** Partitions that are named one by one. */
const MAX_NAMED = 5

/** ` Partitions without a leader now: audit/0, audit/2.` */
function effectOf(leaderless: readonly string[]): string {
  return leaderless.length === 0 ? '' : ` Partitions without a leader now: ${firstOf(leaderless, MAX_NAMED)}.`
}

function troubleOfBrokers({ name, brokers }: ClusterRow, leaderless: readonly string[]): Row[] {
  const where = name === 'default' ? '' : ` of cluster ${name}`
  return brokers.flatMap(({ nodeId, address, state, forMs, lastError }): Row[] => {
    const subject = `broker ${nodeId} (${address})${where}`
    if (state === 'down') {
      return [
        {
          severity: 'bad',
          kind: 'brokerDown',
          subject,
          cause: `It has not answered for ${durationText(forMs)}${lastError === undefined ? '' : `: ${lastError}`}.${effectOf(leaderless)}`,
          next: 'Start the broker, or check the network to it. The records of its partitions wait until it or another broker leads them.',
          see: 'docs/status.md#brokerdown'
        }
      ]
    }
    if (state === 'up') return []
    return [
      {
        severity: leaderless.length > 0 ? 'bad' : 'warning',
        kind: 'brokerGone',
        subject,
        cause: `Kafka has not named it for ${durationText(forMs)}: it has stopped, or was removed from the cluster.${effectOf(leaderless)}`,
        next:
          leaderless.length > 0
            ? 'Start the broker: records of these partitions wait until it, or another broker with a replica, leads them.'
            : 'Start the broker. If it was removed on purpose, nothing has to be done: this row goes after an hour.',
        see: 'docs/status.md#brokergone'
      }
    ]
  })
}
