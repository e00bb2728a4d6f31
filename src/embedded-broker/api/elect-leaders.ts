import { errors } from '../protocol/error-codes.js'
import type { Partition } from '../topics/partition.js'
import { type ByTopic, type Call, defineApi, readNumbersByTopic, targetsByTopic, writeByTopic } from './api.js'

interface ElectLeadersRequest {
  /** `null`: of all topics. */
  readonly topics: readonly ByTopic<{ readonly partition: number }>[] | null
}

/** Moves leadership back to the first replica. Elections that are not needed are answered 84, as by Kafka. */
export const electLeaders = defineApi<ElectLeadersRequest>({
  key: 43,
  name: 'ElectLeaders',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  read(reader, version) {
    if (version >= 1) reader.int8()
    const topics = readNumbersByTopic(reader)
    reader.int32()
    return { topics: topics?.length === 0 ? null : topics }
  },
  targets: ({ topics }) => targetsByTopic(topics ?? []),
  answer({ topics }, call) {
    const { response, version, cluster, faults } = call
    const asked =
      topics ??
      cluster.topics.all().map(({ name, partitions }) => ({
        topic: name,
        partitions: partitions.map(({ index }) => ({ partition: index }))
      }))
    response.int32(0)
    if (version >= 1) response.int16(errors.none)
    writeByTopic(response, asked, (topic, { partition }) => {
      const errorCode = faults.before(topic, partition) || elect(call, cluster.topics.partition(topic, partition))
      response
        .int32(partition)
        .int16(errorCode || faults.after(topic, partition))
        .nullableString(null)
    })
    cluster.topicsChanged()
  }
})

function elect({ cluster }: Call, partition: Partition | undefined): number {
  const preferred = partition?.replicas[0]
  if (!partition || preferred === undefined) return errors.unknownTopicOrPartition
  if (partition.leaderId === preferred) return errors.electionNotNeeded
  if (!cluster.isAlive(preferred)) return errors.preferredLeaderNotAvailable
  partition.moveLeader(preferred)
  return errors.none
}
