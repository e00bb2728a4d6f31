import type { CommitConsumerOffset, FetchConsumerOffset } from './operations.js'

type FormOf<Request extends FetchConsumerOffset | CommitConsumerOffset> = Pick<
  Required<Request>,
  'rawMetadata' | 'negativeOffset'
>

/**
 * Reads and commits offsets as they are stored, whichever client stored them: Kafka-Pixy's have metadata without Castle's
 * mark, and negative numbers for the ends of the log.
 */
export const AS_STORED = { rawMetadata: true, negativeOffset: true } as const satisfies FormOf<FetchConsumerOffset> &
  FormOf<CommitConsumerOffset>
