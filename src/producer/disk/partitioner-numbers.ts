import type { PartitionerName } from '../memory/partitioners.js'

/**
 * Partitioners by the number under which the log keeps them, since a record finds its partition when it is delivered.
 * Numbers are never used again for another one.
 */
const numbers: Readonly<Record<PartitionerName, number>> = {
  murmur2: 0,
  crc32: 1,
  fnv1a: 2,
  javaHashCode: 3,
  phash2: 4,
  random: 5,
  roundRobin: 6
}
const names = new Map(Object.entries(numbers).map(([name, number]) => [number, name as PartitionerName]))

export const numberOfPartitioner = (name: PartitionerName): number => numbers[name]

/** A number that a later release has written finds Java's. */
export const partitionerOfNumber = (number = 0): PartitionerName => names.get(number) ?? 'murmur2'
