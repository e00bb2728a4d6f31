/** True for an offset, a partition or another whole number of at least 0 that a double holds exactly. */
export const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
