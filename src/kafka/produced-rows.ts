const FIELDS = 3

/**
 * Outcomes of the batches of a Produce call, by their places in it. Error code, base offset and time of each are in a row of
 * numbers, because an object for each of many small batches would be much garbage.
 */
export class ProducedRows {
  readonly numbers: Float64Array
  /** Why the broker refuses a batch, in its words. Absent: it refuses none, has no words, or is Kafka 2.3. */
  words: Map<number, string> | undefined

  /** @param batches in the call. The answer says nothing of them yet */
  constructor(batches: number) {
    this.numbers = new Float64Array(FIELDS * batches).fill(Number.NaN)
  }

  /** The answer says what became of the batch. */
  has(at: number): boolean {
    return Number.isInteger(this.numbers[FIELDS * at])
  }

  /** Adds the outcome of a batch. If an answer has several for one batch, the first counts. */
  add(at: number, errorCode: number, baseOffset: number, logAppendTimeMs: number, words: string | null): void {
    if (this.has(at)) return
    this.numbers[FIELDS * at] = errorCode
    this.numbers[FIELDS * at + 1] = baseOffset
    this.numbers[FIELDS * at + 2] = logAppendTimeMs
    if (words) (this.words ??= new Map()).set(at, words)
  }

  errorCode(at: number): number {
    return this.numbers[FIELDS * at]!
  }

  /** -1 in most answers with an error, and where the offset cannot be true. */
  baseOffset(at: number): number {
    return this.numbers[FIELDS * at + 1]!
  }

  /** -1 unless the topic uses LogAppendTime. */
  logAppendTimeMs(at: number): number {
    return this.numbers[FIELDS * at + 2]!
  }
}
