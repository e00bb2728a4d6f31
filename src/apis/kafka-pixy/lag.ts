import type { GroupOffset } from '../../gateway/gateway.js'

/** Offsets that are names: the end, where a group that has committed nothing begins, and the first one that there is. */
const NEWEST = -1
const OLDEST = -2

/** How many records a group has not read, as Kafka-Pixy counts them; where it has committed nothing, since where it begins. */
export function lagOf({ earliest, latest, committed, beginsAt }: GroupOffset): number {
  const offset = committed?.offset ?? beginsAt ?? NEWEST
  return offset === NEWEST ? 0 : latest - (offset === OLDEST ? earliest : offset)
}
