/** A timestamp that a record in Kafka may have, and what answers tell of it. */
export interface OddTime {
  readonly timestampMs: bigint
  /** `null`: its year is not one from 0000 to 9999. */
  readonly iso: string | null
  /** `null`: a number does not have it exactly. */
  readonly number: number | null
}

const time = (timestampMs: bigint | number, iso: string | null = null): OddTime => ({
  timestampMs: BigInt(timestampMs),
  iso,
  number: Number.isSafeInteger(Number(timestampMs)) ? Number(timestampMs) : null
})

/** The edges of what a text, a `Date` and a number have, and microseconds taken for milliseconds. */
export const ODD_TIMES: readonly OddTime[] = [
  time(-1, '1969-12-31T23:59:59.999Z'),
  time(1.76e15),
  time(8.64e15 - 1),
  time(8.64e15 + 1),
  time(-8.64e15 + 1),
  time(-8.64e15 - 1),
  time(2n ** 63n - 1n),
  time(-(2n ** 62n)),
  time(-(2n ** 63n)),
  time(253_402_300_799_999, '9999-12-31T23:59:59.999Z'),
  time(253_402_300_800_000)
]
