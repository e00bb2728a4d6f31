import { type FaultKind, nothing } from './fault.js'

const MOST_PARTITIONS = 6

/** A topic is deleted, and made anew a while later. */
const recreateTopic: FaultKind = ({ brokers, mortalTopics }, random) => {
  const topic = random.pick(mortalTopics)
  if (!brokers.has(topic)) return nothing(`${topic} is not there`)
  const stop = brokers.delete(topic)
  return { what: topic, stop }
}

/** A topic gets one more partition: from now on its keys go elsewhere. */
const growTopic: FaultKind = ({ brokers, growingTopics }, random) => {
  const topic = random.pick(growingTopics)
  const partitions = brokers.partitionsOf(topic) + 1
  if (!brokers.has(topic) || partitions > MOST_PARTITIONS) return nothing(`${topic} stays as it is`)
  brokers.grow(topic, partitions)
  return { what: `${topic} to ${partitions} partitions` }
}

/** The end of a log is lost, acknowledged or not. */
const truncateTopic: FaultKind = ({ brokers, mortalTopics }, random) => {
  const topic = random.pick(mortalTopics)
  if (!brokers.has(topic)) return nothing(`${topic} is not there`)
  const partition = random.between(0, brokers.partitionsOf(topic) - 1)
  const end = brokers.cluster.highWatermark(topic, partition)
  const offset = Math.max(0, end - random.between(1, 10))
  brokers.truncate(topic, partition, offset)
  return { what: `${topic}/${partition} from ${offset} of ${end}` }
}

/** Another cluster answers at the addresses, and later the first one again. */
const anotherCluster: FaultKind = ({ standby, processes }) => {
  if (standby === undefined) return nothing('there is none')
  return { what: 'at the same addresses', stop: standby.takeOver(processes.map(({ host }) => host)) }
}

export const topicFaults = { recreateTopic, growTopic, truncateTopic, anotherCluster }
