/** Operations that a rule may allow. */
export const OPERATIONS = [
  // Write records to a topic.
  'produce',
  // Read records of a topic, alone or as a member of a group.
  'consume',
  // Read or commit offsets of a group.
  'offsets',
  // List and describe brokers, topics and consumer groups.
  'admin',
  'create',
  'delete',
  // Add partitions to topics, change settings of topics.
  'alter',
  // Read and change settings of brokers.
  'cluster',
  // Register schemas under a subject of the schema registry.
  'register',
  // Use what is not about topics, such as the metrics of the process.
  'management'
] as const
export type Operation = (typeof OPERATIONS)[number]
