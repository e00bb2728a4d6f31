import { setNewest } from '../../core/maps.js'
import type { InstanceName } from '../../verbs/verbs.js'

/** Limit of remembered instances. A change of a forgotten one costs one call more. */
const MAX_KNOWN = 10_000

interface KnownOwner {
  /** The number that its owner has told last. */
  number: string | undefined
  /** A call for it was not answered, and may still arrive. */
  isUnanswered: boolean
  /** Settles when the last change that was passed on has its answer. */
  turn: Promise<unknown>
}

/** Remembers which processes own instances. The ones that were asked for longest ago are forgotten. */
export class KnownInstances {
  readonly #known = new Map<string, KnownOwner>()

  of({ groupId, name }: InstanceName): KnownOwner {
    const key = JSON.stringify([groupId, name])
    const known = this.#known.get(key) ?? { number: undefined, isUnanswered: false, turn: Promise.resolve() }
    setNewest(this.#known, key, known, MAX_KNOWN)
    return known
  }
}
