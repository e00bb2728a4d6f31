import type { Offset } from '../../core/model.js'
import { ProblemError } from './event-answers.js'

/** Where a record is in its topic. */
export interface Place {
  readonly partition: number
  readonly offset: Offset
}

/**
 * The places of events, in their order. Events that follow each other in a partition are one range.
 *
 *   0:17-19,1:4
 */
export function placesText(places: readonly Place[]): string {
  const ranges: { readonly partition: number; readonly from: Offset; to: Offset }[] = []
  for (const { partition, offset } of places) {
    const last = ranges.at(-1)
    if (last?.partition === partition && last.to === offset - 1) last.to = offset
    else ranges.push({ partition, from: offset, to: offset })
  }
  return ranges.map(({ partition, from, to }) => `${partition}:${from === to ? from : `${from}-${to}`}`).join(',')
}

const RANGE = /^(\d{1,10}):(\d{1,16})(?:-(\d{1,16}))?$/

/**
 * Reads what {@link placesText} has written.
 *
 * @throws ProblemError when it is another text, or there are more than `max` places
 */
export function placesIn(text: string, max: number): readonly Place[] {
  const places: Place[] = []
  for (const range of text.split(',')) {
    const [, partition, from, to = from] = RANGE.exec(range) ?? []
    if (partition === undefined || !(Number(to) >= Number(from)) || Number(to) > Number.MAX_SAFE_INTEGER) {
      throw new ProblemError(
        400,
        'the parameter offsets has to have the form 0:17-19,1:4: partitions and their offsets'
      )
    }
    if (places.length + Number(to) - Number(from) >= max) {
      throw new ProblemError(400, `the parameter offsets names more than ${max} events`)
    }
    for (let offset = Number(from); offset <= Number(to); offset++)
      places.push({ partition: Number(partition), offset })
  }
  return places
}
