/** A machine, or rather the one process on it that counts: what runs on it can be held up or end as one. */
export class Host {
  readonly name: string
  /** Order of creation, for the hash of the trace. */
  readonly index: number
  state: 'running' | 'paused' | 'dead' = 'running'
  /** How long it has stood still, all together. */
  heldUpMs = 0

  /** It only looks: what it is told may hold figures of the real process, so their size leaves no mark in the world. */
  readonly isOnlooker: boolean

  constructor(name: string, index: number, isOnlooker = false) {
    this.name = name
    this.index = index
    this.isOnlooker = isOnlooker
  }
}
