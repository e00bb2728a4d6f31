import { inspect } from 'node:util'
import { expect } from 'chai'

/** Checks each row of a table, one after another, and fails with every row that is wrong. */
export async function checkRows<Row>(
  rows: Iterable<Row>,
  check: (row: Row) => unknown,
  nameOf: (row: Row) => string = shown
): Promise<void> {
  const wrong: string[] = []
  let count = 0
  for (const row of rows) {
    count++
    try {
      await check(row)
    } catch (error) {
      wrong.push(`${nameOf(row)}: ${(error as Error).message}`)
    }
  }
  expect(wrong.join('\n')).to.equal('')
  expect(count).to.be.above(0)
}

const shown = (row: unknown): string => inspect(row, { breakLength: Infinity, maxStringLength: 100 }).slice(0, 200)
