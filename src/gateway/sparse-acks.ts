import { acksIn } from '../consumer/group/incarnation-mark.js'
import type { OffsetAndMetadata } from '../core/model.js'

/**
 * What is acknowledged above a committed offset, as ranges relative to it, without their ends.
 *
 *   offset 301, [302..305) and [307..309) acknowledged   =>   1-4,6-8
 *
 * The empty string where nothing is, and where the metadata says something else.
 */
export function sparseAcksOf({ offset, metadata = '' }: OffsetAndMetadata): string {
  const ranges = metadata === '' ? [] : (acksIn({ offset, metadata }) ?? [])
  return ranges.map(({ from, to }) => `${from - offset}-${to - offset}`).join()
}
