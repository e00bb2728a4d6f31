/** Cases that mostly wait: more at a time would only make each slower. */
const PARTITIONS = 4

/**
 * Runs cases that do not know of each other, several at a time, and fails with the names of those that fail.
 *
 * @param run gets the number of its partition as well: no two cases with the same one run at the same time
 */
export async function sideBySide<Case>(
  cases: Iterable<Case>,
  nameOf: (each: Case) => string,
  run: (each: Case, producer: number) => Promise<void>
): Promise<void> {
  const failures: string[] = []
  const waiting = cases[Symbol.iterator]()
  const runProducer = async (producer: number): Promise<void> => {
    for (let next = waiting.next(); !next.done; next = waiting.next()) {
      await run(next.value, producer).catch(error => failures.push(`${nameOf(next.value)}: ${(error as Error).stack}`))
    }
  }
  await Promise.all(Array.from({ length: PARTITIONS }, (_, producer) => runProducer(producer)))
  if (failures.length > 0) throw new Error(`${failures.length} failed\n${failures.join('\n\n')}`)
}
