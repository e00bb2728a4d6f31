/** What a partition knows of the requests for its topic. */
export interface Demand {
  /** A request waits for a message. */
  isOpen(): boolean
  /** A message of the partition is staged. */
  prefetched(): void
  /** The partition stages no message until it is told again that one is wanted. */
  rests(): void
}
