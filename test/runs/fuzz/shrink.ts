import { type Cut, type Script, tidyCuts } from './script.js'

/** Whether a script still shows what is looked for. */
export type Shows = (script: Script) => Promise<boolean>

/** The script without the bytes from one index to another. */
function without({ bytes, cuts, ending }: Script, from: number, to: number): Script {
  const shifted = cuts.map(({ at, pause }): Cut => ({ at: at <= from ? at : Math.max(from, at - (to - from)), pause }))
  const rest = Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
  return { bytes: rest, cuts: tidyCuts(shifted, rest.length), ending }
}

/**
 * The smallest script found that still shows it: without cuts, without whole requests, without parts of its bytes, and then
 * with simpler pauses and the plainest ending.
 *
 * @param tries at most so many scripts are tried
 */
export async function shrink(script: Script, shows: Shows, tries: number): Promise<Script> {
  const shrinking = new Shrinking(script, shows, tries)
  for (let before = Number.NaN; before !== shrinking.size; ) {
    before = shrinking.size
    await shrinking.cuts()
    await shrinking.requests()
    await shrinking.bytes()
    await shrinking.plainer()
  }
  return shrinking.smallest
}

const REQUEST_LINE = /(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) \S* HTTP\/1\.\d\r\n/g

class Shrinking {
  smallest: Script
  readonly #shows: Shows
  #triesLeft: number

  constructor(script: Script, shows: Shows, tries: number) {
    this.smallest = script
    this.#shows = shows
    this.#triesLeft = tries
  }

  get size(): number {
    return this.smallest.bytes.length + this.smallest.cuts.length
  }

  async #try(script: Script): Promise<boolean> {
    if (script.bytes.length === 0 || this.#triesLeft-- <= 0 || !(await this.#shows(script))) return false
    this.smallest = script
    return true
  }

  /** Most requests are not needed, and leaving out a whole one leaves the others as they are. */
  async requests(): Promise<void> {
    for (let i = 0; this.#triesLeft > 0; ) {
      const { bytes } = this.smallest
      const starts = [...bytes.toString('latin1').matchAll(REQUEST_LINE)].map(({ index }) => index)
      if (i >= starts.length) return
      if (!(await this.#try(without(this.smallest, starts[i]!, starts[i + 1] ?? bytes.length)))) i++
    }
  }

  async bytes(): Promise<void> {
    for (let step = this.smallest.bytes.length; step >= 1 && this.#triesLeft > 0; step = Math.floor(step / 2)) {
      for (let at = 0; at < this.smallest.bytes.length; ) {
        const to = Math.min(at + step, this.smallest.bytes.length)
        if (!(await this.#try(without(this.smallest, at, to)))) at += step
        if (this.#triesLeft <= 0) return
      }
    }
  }

  async cuts(): Promise<void> {
    if (await this.#try({ ...this.smallest, cuts: [] })) return
    for (let i = this.smallest.cuts.length - 1; i >= 0; i--) {
      await this.#try({ ...this.smallest, cuts: this.smallest.cuts.filter((_, at) => at !== i) })
    }
  }

  async plainer(): Promise<void> {
    const { cuts, ending } = this.smallest
    if (ending !== 'probe') await this.#try({ ...this.smallest, ending: 'probe' })
    if (cuts.some(({ pause }) => pause !== 'quiet'))
      await this.#try({ ...this.smallest, cuts: cuts.map(({ at }) => ({ at, pause: 'quiet' })) })
  }
}
