import { expect } from 'chai'

/** Checks each row of a table, and fails with every row that is wrong. */
export async function checkRows<Row>(
  rows: Iterable<Row>,
  nameOf: (row: Row) => string,
  check: (row: Row) => Promise<void>
): Promise<void> {
  const wrong: string[] = []
  let count = 0
  for (const row of rows) {
    count++
    await check(row).catch((error: Error) => wrong.push(`${nameOf(row)}: ${error.message}`))
  }
  expect(wrong.join('\n')).to.equal('')
  expect(count).to.be.above(0)
}
