import type { Offset } from '../../core/model.js'

/**
 * The number of an instance: it changes with each change of the instance, so that a call that names an older one is known to
 * be late. The three parts, with a slash between them:
 *
 *   the log (the id of the topic of states, or a process that keeps states in memory)
 *   the point in it (the offset of the last record of the instance, or a count of the process)
 *   the changes since, which only the process knows that has the instance, after a number that it has used for no other one;
 *   empty: not known
 *
 *   numberText({ log: 'W2x', point: 17 }, '4.3')   =>   'W2x/17/4.3'
 */
export interface InstancePoint {
  readonly log: string
  readonly point: Offset
}

export const numberText = ({ log, point }: InstancePoint, changes: string = ''): string => `${log}/${point}/${changes}`

/** Reads the point of an instance from a number; `undefined`: the caller knew none. */
export function pointOf(number: string | undefined): InstancePoint | undefined {
  const [log, point] = number?.split('/') ?? []
  return log === undefined || point === undefined ? undefined : { log, point: Number(point) }
}

/** Whether a number names the instance at this point, whatever has changed since. */
export function isAt(number: string | undefined, { log, point }: InstancePoint): boolean {
  const named = pointOf(number)
  return named?.log === log && named.point === point
}

/** Whether nothing has happened to a name since the point that a number names. */
export function isAfter(number: string | undefined, { log, point }: InstancePoint): boolean {
  const named = pointOf(number)
  return named?.log === log && named.point >= point
}

/** How many removed names of a process are kept by themselves. */
const MAX_REMOVED = 10_000

/** The points of instances that live in the memory of one process, and of those that it has removed. */
export class PointsInMemory {
  readonly #log: string
  readonly #removed = new Map<string, number>()
  #last = 0
  /** The last removal of a name that is not kept any more. */
  #forgotten = 0

  /** @param log names the process from its start to its end */
  constructor(log: string) {
    this.#log = log
  }

  get end(): InstancePoint {
    return { log: this.#log, point: this.#last }
  }

  next(): InstancePoint {
    this.#last++
    return this.end
  }

  removed(key: string): void {
    this.#removed.delete(key)
    this.#removed.set(key, this.next().point)
    if (this.#removed.size <= MAX_REMOVED) return
    const [oldest, point] = this.#removed.entries().next().value!
    this.#removed.delete(oldest)
    this.#forgotten = point
  }

  lastOf(key: string): InstancePoint {
    return { log: this.#log, point: this.#removed.get(key) ?? this.#forgotten }
  }
}
