import type { GroupOffset } from '../../gateway/gateway.js'

/** Offsets that are names: the end, where a group that has committed nothing begins, and the first one that there is. */
const NEWEST = -1
const OLDEST = -2

/** How many records a group has not read, as Kafka-Pixy counts them; all of those that are to be read from the beginning. */
export function lagOf({ earliest, latest, committed, beginsAtEarliest }: GroupOffset): number {
  const offset = committed?.offset ?? (beginsAtEarliest ? OLDEST : NEWEST)
  return offset === NEWEST ? 0 : latest - (offset === OLDEST ? earliest : offset)
}
