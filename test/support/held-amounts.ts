import { HeldAmount } from '../../src/core/held-amount.js'

/** Worlds set it. @returns whether the process that runs now is killed later */
export const worldNow: { fate: () => () => boolean } = { fate: () => () => false }

interface Made {
  readonly amount: HeldAmount
  readonly test: string
  readonly isKilled: () => boolean
  readonly at: { readonly stack?: string }
}

/** Amounts of places, calls or bytes that were made in some time, with the places where. */
export class HeldAmounts {
  readonly #made: Made[] = []

  add(amount: HeldAmount, test = ''): void {
    const at: { stack?: string } = {}
    Error.captureStackTrace(at, HeldAmount)
    this.#made.push({ amount, test, isKilled: worldNow.fate(), at })
  }

  /** Those that are not released are looked at again with others. */
  moveKeptTo(others: HeldAmounts): void {
    others.#made.push(...this.#made.filter(({ amount }) => amount.value !== 0))
  }

  /** What is not released, but for what killed processes of a world have held. */
  get kept(): readonly string[] {
    return this.#made
      .filter(({ amount, isKilled }) => amount.value !== 0 && !isKilled())
      .map(({ amount: { name, value }, test, at }) => {
        const frames = at.stack?.split('\n').slice(1, 5).join('\n')
        return `kept: ${value} ${name}${test && `, made in "${test}"`}\n${frames}`
      })
  }
}
