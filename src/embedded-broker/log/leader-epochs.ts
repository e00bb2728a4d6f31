/** From which offset on each leader epoch wrote. */
export class LeaderEpochs {
  readonly #starts: { readonly epoch: number; readonly startOffset: number }[] = []

  appended(epoch: number, offset: number): void {
    if ((this.#starts.at(-1)?.epoch ?? -1) < epoch) this.#starts.push({ epoch, startOffset: offset })
  }

  /**
   * Where the newest epoch not above `epoch` ended, as Kafka's leaders tell it: an epoch older than all that are known ended
   * where the first of those began. -1 and -1: the epoch is newer than the leader's.
   */
  endOf(
    epoch: number,
    currentEpoch: number,
    nextOffset: number
  ): { readonly epoch: number; readonly endOffset: number } {
    if (epoch === currentEpoch) return { epoch, endOffset: nextOffset }
    if (epoch < 0 || epoch > currentEpoch) return { epoch: -1, endOffset: -1 }
    const above = this.#starts.findIndex(entry => entry.epoch > epoch)
    // A leader begins its epoch at the end of its log, before it writes.
    const endOffset = this.#starts[above]?.startOffset ?? nextOffset
    const below = above < 0 ? this.#starts.at(-1) : this.#starts[above - 1]
    return { epoch: below?.epoch ?? epoch, endOffset }
  }
}
