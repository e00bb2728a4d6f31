/** How a producer numbers its batches: the broker tells duplicates and gaps by it, per partition. */
export interface Numbering {
  readonly producerId: bigint
  readonly epoch: number
  /** Sequence of the next record. */
  readonly nextSequence: number
}

export const MAX_EPOCH = 0x7fff
/** How many sequences there are: 0 to 2147483647. */
const SEQUENCES = 0x80000000

/** A partition that starts writing under a producer id. */
export const newNumbering = (producerId: bigint, epoch: number): Numbering => ({ producerId, epoch, nextSequence: 0 })

/** After a batch of `recordCount` was appended. 2147483647 is followed by 0. */
export const advanced = (numbering: Numbering, recordCount: number): Numbering => ({
  ...numbering,
  nextSequence: (numbering.nextSequence + recordCount) % SEQUENCES
})

/** The next epoch, from sequence 0, which fences late copies of all that went before; `undefined` when none is left. */
export const raised = (numbering: Numbering): Numbering | undefined =>
  numbering.epoch >= MAX_EPOCH ? undefined : newNumbering(numbering.producerId, numbering.epoch + 1)
