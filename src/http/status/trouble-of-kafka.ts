import type { Judged, Row } from './judged.js'
import type { ClusterRow } from './status.js'
import { durationText } from './units.js'

/** Clusters that do not answer, and brokers that are down or gone. */
export const troubleOfKafka = ({ clusters }: Judged): Row[] => clusters.flatMap(troubleOfCluster)

function troubleOfCluster(cluster: ClusterRow): Row[] {
  const { name, isReady, away } = cluster
  if (isReady) return troubleOfBrokers(cluster)
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

function troubleOfBrokers({ name, brokers }: ClusterRow): Row[] {
  const where = name === 'default' ? '' : ` of cluster ${name}`
  return brokers.flatMap(({ nodeId, address, state, forMs, lastError }): Row[] => {
    const subject = `broker ${nodeId} (${address})${where}`
    if (state === 'down') {
      return [
        {
          severity: 'bad',
          kind: 'brokerDown',
          subject,
          cause: `It has not answered for ${durationText(forMs)}${lastError === undefined ? '' : `: ${lastError}`}.`,
          next: 'Start the broker, or check the network to it. The records of its partitions wait until it or another broker leads them.',
          see: 'docs/status.md#brokerdown'
        }
      ]
    }
    if (state === 'up') return []
    return [
      {
        severity: 'warning',
        kind: 'brokerGone',
        subject,
        cause: `Kafka has not named it for ${durationText(forMs)}: it has stopped, or was removed from the cluster.`,
        next: 'Start the broker. If it was removed on purpose, nothing has to be done: this row goes after an hour.',
        see: 'docs/status.md#brokergone'
      }
    ]
  })
}
