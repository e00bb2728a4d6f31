/** From which offset on each leader epoch wrote. */
export class LeaderEpochs {
  readonly #starts: { readonly epoch: number; readonly startOffset: number }[] = []

  appended(epoch: number, offset: number): void {
    if ((this.#starts.at(-1)?.epoch ?? -1) < epoch) this.#starts.push({ epoch, startOffset: offset })
  }

  /** Where the newest epoch not above `epoch` ended; -1 and -1 when nothing is known. */
  endOf(
    epoch: number,
    currentEpoch: number,
    nextOffset: number
  ): { readonly epoch: number; readonly endOffset: number } {
    if (epoch === currentEpoch) return { epoch, endOffset: nextOffset }
    const above = this.#starts.findIndex(entry => entry.epoch > epoch)
    if (epoch < 0 || epoch > currentEpoch || above === 0 || this.#starts.length === 0)
      return { epoch: -1, endOffset: -1 }
    if (above < 0) return { epoch: this.#starts.at(-1)!.epoch, endOffset: nextOffset }
    return { epoch: this.#starts[above - 1]!.epoch, endOffset: this.#starts[above]!.startOffset }
  }
}
