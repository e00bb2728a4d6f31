/** Is told of each {@link HeldAmount} that is made. Tests see by it that all is released. */
export interface HeldAmountWatch {
  made(amount: HeldAmount): void
  /** Called when more was released than was held. */
  overdrawn(amount: HeldAmount): void
}

/** How much of something limited, such as places, calls or bytes, is taken and has to be released. Never below 0. */
export class HeldAmount {
  /** Set by tests only. */
  static watch: HeldAmountWatch | undefined
  readonly name: string
  #value = 0

  /** @param name what is held, in the plural: `request bodies` */
  constructor(name: string) {
    this.name = name
    HeldAmount.watch?.made(this)
  }

  get value(): number {
    return this.#value
  }

  /** Adds without returning a function that releases: the caller keeps the amount and releases it later. */
  add(amount: number): void {
    this.#value += amount
  }

  /** Adds or, when negative, releases. */
  change(amount: number): void {
    if (amount < 0) this.release(-amount)
    else this.add(amount)
  }

  release(amount: number): void {
    if (amount > this.#value) HeldAmount.watch?.overdrawn(this)
    this.#value = Math.max(0, this.#value - amount)
  }

  /** @returns a function that releases the amount, and calls back; from its second call on it does nothing */
  take(amount: number, onReleased?: () => void): () => void {
    this.add(amount)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.release(amount)
      onReleased?.()
    }
  }
}
